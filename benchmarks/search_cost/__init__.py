"""What a search step costs: the parts of `python benchmarks/search_step.py`."""
