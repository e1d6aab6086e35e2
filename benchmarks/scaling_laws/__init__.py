"""What `python benchmarks/scaling.py` measures and fits."""
