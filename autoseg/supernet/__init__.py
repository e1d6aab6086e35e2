"""The continuous relaxation of a search space."""

from autoseg.supernet.backend import BACKENDS, Backend, BackendName, resolve_backend
from autoseg.supernet.supernet import Supernet

__all__ = ["BACKENDS", "Backend", "BackendName", "Supernet", "resolve_backend"]
