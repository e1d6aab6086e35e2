"""What an untrained network says of itself: scores that cost no training."""

from autoseg.zero_cost.activations import jacov, nwot
from autoseg.zero_cost.gradients import Batch, Loss, snip, zico
from autoseg.zero_cost.registry import ZERO_COST_SCORES, ZeroCostScore

__all__ = ["ZERO_COST_SCORES", "Batch", "Loss", "ZeroCostScore", "jacov", "nwot", "snip", "zico"]
