"""The continuous relaxation of a search space."""

from autoseg.supernet.backend import BACKENDS, Backend, BackendName, resolve_backend
from autoseg.supernet.batch_norm import estimate_statistics
from autoseg.supernet.single_path import SinglePath
from autoseg.supernet.supernet import Supernet

__all__ = [
    "BACKENDS",
    "Backend",
    "BackendName",
    "SinglePath",
    "Supernet",
    "estimate_statistics",
    "resolve_backend",
]
