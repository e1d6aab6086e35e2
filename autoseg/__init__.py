"""Search, retrain and benchmark semantic segmentation networks."""

from typing import TYPE_CHECKING

from autoseg.deferred import deferred_names

if TYPE_CHECKING:
    from autoseg.architecture import Architecture, SearchSpace, decode
    from autoseg.cost import count_macs, count_parameters, measure_latency
    from autoseg.crf import DenseCRF
    from autoseg.data import DATASETS, build_dataset
    from autoseg.metrics import ConfusionMatrix
    from autoseg.networks import ENCODERS, NETWORKS, build_network
    from autoseg.supernet import Supernet
    from autoseg.trained import Prediction, SegmentationModel, load
else:
    __getattr__, __dir__ = deferred_names(
        __name__,
        "architecture",
        "networks",
        "crf",
        "supernet",
        "data",
        "metrics",
        "cost",
        "trained",
    )

__version__ = "0.1.0"

__all__ = [
    "DATASETS",
    "ENCODERS",
    "NETWORKS",
    "Architecture",
    "ConfusionMatrix",
    "DenseCRF",
    "Prediction",
    "SearchSpace",
    "SegmentationModel",
    "Supernet",
    "build_dataset",
    "build_network",
    "count_macs",
    "count_parameters",
    "decode",
    "load",
    "measure_latency",
]
