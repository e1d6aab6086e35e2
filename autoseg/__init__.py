"""Search, retrain and benchmark semantic segmentation networks."""

__version__ = "0.1.0"
