"""Whether every network learns a few images by heart: parts of `python benchmarks/overfit.py`."""
