"""Networks: those built from an architecture, the fixed references, and their encoders."""

from autoseg.networks.encoders import ENCODERS
from autoseg.networks.outputs import TrainingLogits, inference_parameters
from autoseg.networks.registry import NETWORKS, build_network
from autoseg.networks.weights import LoadedWeights, load_weights_

__all__ = [
    "ENCODERS",
    "NETWORKS",
    "LoadedWeights",
    "TrainingLogits",
    "build_network",
    "inference_parameters",
    "load_weights_",
]
