"""The continuous relaxation of a search space."""

from autoseg.supernet.supernet import Supernet

__all__ = ["Supernet"]
