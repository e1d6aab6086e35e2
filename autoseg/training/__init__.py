"""Training a network: losses, schedules, precision, the loop."""

from autoseg.training.batches import augmented_batches, retraining_batches
from autoseg.training.chosen_loss import require_shareable_loss
from autoseg.training.class_weights import require_rule_fits
from autoseg.training.divergence import (
    ADVICE,
    DivergedError,
    PendingLosses,
    require_finite,
    require_finite_weights,
    steps_between_reads,
)
from autoseg.training.loop import TrainingResult, train
from autoseg.training.loop_state import LOOP_FIELDS, LoopState
from autoseg.training.loss_functions import cross_entropy, segmentation_loss
from autoseg.training.losses import LOSSES
from autoseg.training.memory import OutOfMemoryError, explaining_memory
from autoseg.training.optimisers import SGD, Adam
from autoseg.training.precision import (
    ResolvedPrecision,
    autocast,
    resolve_precision,
    tensor_float,
)
from autoseg.training.schedules import cosine, poly
from autoseg.training.validation import ValidationScore, pixels_together, validate
from autoseg.training.waiting import LoadingWatch

__all__ = [
    "ADVICE",
    "LOOP_FIELDS",
    "LOSSES",
    "SGD",
    "Adam",
    "DivergedError",
    "LoadingWatch",
    "LoopState",
    "OutOfMemoryError",
    "PendingLosses",
    "ResolvedPrecision",
    "TrainingResult",
    "ValidationScore",
    "augmented_batches",
    "autocast",
    "cosine",
    "cross_entropy",
    "explaining_memory",
    "pixels_together",
    "poly",
    "require_finite",
    "require_finite_weights",
    "require_rule_fits",
    "require_shareable_loss",
    "resolve_precision",
    "retraining_batches",
    "segmentation_loss",
    "steps_between_reads",
    "tensor_float",
    "train",
    "validate",
]
