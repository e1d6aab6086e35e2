"""What `python benchmarks/kill_and_resume.py` does to a run, and how it judges the end."""
