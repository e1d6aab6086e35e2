"""Parts of `python benchmarks/supernet_ranking.py`."""
