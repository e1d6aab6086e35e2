"""Weights from files into networks."""

from autoseg.networks.weights.files import WeightFile, read_weights
from autoseg.networks.weights.fitting import (
    FittedWeights,
    LoadedWeights,
    fit_file,
    fit_weights,
    fits,
    load_weights_,
)
from autoseg.networks.weights.misfit import MisfitError
from autoseg.networks.weights.names import from_torchvision, to_torchvision

__all__ = [
    "FittedWeights",
    "LoadedWeights",
    "MisfitError",
    "WeightFile",
    "fit_file",
    "fit_weights",
    "fits",
    "from_torchvision",
    "load_weights_",
    "read_weights",
    "to_torchvision",
]
