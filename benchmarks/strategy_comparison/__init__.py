"""Parts of `benchmarks/compare_strategies.py`."""
