"""Networks: those built from an architecture, the fixed references, and their encoders."""

from autoseg.networks.outputs import TrainingLogits, inference_parameters
from autoseg.networks.registry import NETWORKS, build_network
from autoseg.networks.resnet import ENCODERS

__all__ = [
    "ENCODERS",
    "NETWORKS",
    "TrainingLogits",
    "build_network",
    "inference_parameters",
]
