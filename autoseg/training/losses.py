"""The losses by name, and what can be set for them."""

from collections.abc import Callable

from torch import Tensor

from autoseg.config import LossName
from autoseg.training.loss_functions.cross_entropy import cross_entropy
from autoseg.training.loss_functions.dice import dice_loss
from autoseg.training.loss_functions.focal import GAMMA, focal_loss
from autoseg.training.loss_functions.lovasz import lovasz_softmax
from autoseg.training.loss_functions.ohem import MIN_KEPT, THRESHOLD, ohem_cross_entropy

LOSSES: dict[LossName, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "focal": focal_loss,
    "ohem": ohem_cross_entropy,
    "dice": dice_loss,
    "lovasz": lovasz_softmax,
}
"""Each takes logits (N, K, H, W), target (N, H, W) and `ignore_index`, and gives a scalar."""

LOSS_DEFAULTS = {"focal_gamma": GAMMA, "ohem_threshold": THRESHOLD, "ohem_min_kept": MIN_KEPT}
"""What a loss takes where the user gives none, by the field of `LossConfig`."""
