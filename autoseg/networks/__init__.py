"""Networks: those built from an architecture, the fixed references, and their encoders."""

from typing import TYPE_CHECKING

from autoseg.deferred import deferred_names

if TYPE_CHECKING:
    from autoseg.contract import TrainingLogits
    from autoseg.networks.crf_layer import CRF_RNN, NetworkWithCRF, crf_rnn
    from autoseg.networks.encoders import ENCODERS, AdaptedEncoder, Encoder
    from autoseg.networks.families import FAMILIES
    from autoseg.networks.naming import (
        NamedNetwork,
        named_networks,
        networks_called,
        pairs_over,
        require_family,
    )
    from autoseg.networks.outputs import inference_parameters
    from autoseg.networks.registry import NETWORKS, build_network, require_network
    from autoseg.networks.weights import (
        FittedWeights,
        LoadedWeights,
        MisfitError,
        WeightFile,
        fit_file,
        fit_weights,
        fits,
        load_weights_,
        read_weights,
    )
else:
    __getattr__, __dir__ = deferred_names(
        __name__,
        ".contract",
        "crf_layer",
        "encoders",
        "families",
        "naming",
        "outputs",
        "registry",
        "weights",
    )

__all__ = [
    "CRF_RNN",
    "ENCODERS",
    "FAMILIES",
    "NETWORKS",
    "AdaptedEncoder",
    "Encoder",
    "FittedWeights",
    "LoadedWeights",
    "MisfitError",
    "NamedNetwork",
    "NetworkWithCRF",
    "TrainingLogits",
    "WeightFile",
    "build_network",
    "crf_rnn",
    "fit_file",
    "fit_weights",
    "fits",
    "inference_parameters",
    "load_weights_",
    "named_networks",
    "networks_called",
    "pairs_over",
    "read_weights",
    "require_family",
    "require_network",
]
