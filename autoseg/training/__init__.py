"""Training a network: losses, schedules, precision, the loop."""

from autoseg.training.batches import augmented_batches
from autoseg.training.config import TrainingConfig
from autoseg.training.divergence import DivergedError, PendingLosses, require_finite
from autoseg.training.loop import TrainingResult, train
from autoseg.training.losses import cross_entropy, segmentation_loss
from autoseg.training.precision import (
    Precision,
    ResolvedPrecision,
    autocast,
    resolve_precision,
    tensor_float,
)
from autoseg.training.schedules import cosine, poly
from autoseg.training.validation import validate

__all__ = [
    "DivergedError",
    "PendingLosses",
    "Precision",
    "ResolvedPrecision",
    "TrainingConfig",
    "TrainingResult",
    "augmented_batches",
    "autocast",
    "cosine",
    "cross_entropy",
    "poly",
    "require_finite",
    "resolve_precision",
    "segmentation_loss",
    "tensor_float",
    "train",
    "validate",
]
