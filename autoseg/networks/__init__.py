"""Networks: those built from an architecture, the fixed references, and their encoders."""

from autoseg.networks.crf_layer import CRF_RNN, NetworkWithCRF, crf_rnn
from autoseg.networks.encoders import ENCODERS
from autoseg.networks.outputs import TrainingLogits, inference_parameters
from autoseg.networks.registry import NETWORKS, build_network
from autoseg.networks.weights import FittedWeights, LoadedWeights, fit_weights, load_weights_

__all__ = [
    "CRF_RNN",
    "ENCODERS",
    "NETWORKS",
    "FittedWeights",
    "LoadedWeights",
    "NetworkWithCRF",
    "TrainingLogits",
    "build_network",
    "crf_rnn",
    "fit_weights",
    "inference_parameters",
    "load_weights_",
]
