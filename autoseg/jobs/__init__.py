"""Whole jobs, from a request that was read to a run folder that holds its result."""
