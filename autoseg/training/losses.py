"""The losses by name, and what can be set for them."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from torch import Tensor

from autoseg.training.loss_functions.cross_entropy import cross_entropy
from autoseg.training.loss_functions.dice import dice_loss
from autoseg.training.loss_functions.focal import GAMMA, focal_loss
from autoseg.training.loss_functions.lovasz import lovasz_softmax
from autoseg.training.loss_functions.ohem import MIN_KEPT, THRESHOLD, ohem_cross_entropy

LossName = Literal["cross_entropy", "focal", "ohem", "dice", "lovasz"]
"""A key of `LOSSES`."""

LOSSES: dict[LossName, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "focal": focal_loss,
    "ohem": ohem_cross_entropy,
    "dice": dice_loss,
    "lovasz": lovasz_softmax,
}
"""Each takes logits (N, K, H, W), target (N, H, W) and `ignore_index`, and gives a scalar."""

CLASS_WEIGHTED: tuple[LossName, ...] = ("cross_entropy", "focal", "ohem")
"""Losses of single pixels, which take `class_weights`. Dice and Lovasz-softmax average over
classes, each of which counts alike already."""


class LossOption(NamedTuple):
    """A number that one loss takes."""

    loss: LossName
    """The loss."""
    keyword: str
    """The function's argument."""
    default: float
    """Its value where the user gives none."""


LOSS_OPTIONS: dict[str, LossOption] = {
    "focal_gamma": LossOption("focal", "gamma", GAMMA),
    "ohem_threshold": LossOption("ohem", "threshold", THRESHOLD),
    "ohem_min_kept": LossOption("ohem", "min_kept", MIN_KEPT),
}
"""By the field of `LossConfig` that sets it."""
