"""Focal loss: pixels that are already right count less."""

import torch
import torch.nn.functional as F
from torch import Tensor

from autoseg.training.loss_functions.pixels import in_full_precision, pixel_weights, weighted_mean

GAMMA = 2.0
"""The paper's choice (section 3.2)."""


def focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    ignore_index: int,
    gamma: float = GAMMA,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Average (1 - p)^gamma * -log(p) over the labelled pixels; p is the true class's probability.

    The paper has one sigmoid a class and divides by the number of boxes that hold an object. Here
    p comes from the softmax over classes, and the mean is over pixels, each of which has a class.

    Args:
        logits: (N, K, H, W).
        target: int64, (N, H, W).
        ignore_index: Label of pixels that do not count.
        gamma: Focus, at least 0; 0 is cross-entropy.
        class_weights: Weight of each true class, (K,), the paper's alpha; the mean is over weights
            then (`weighted_mean`). None weighs all classes alike.

    Returns:
        A scalar; 0, with zero gradients, where every pixel is ignored.

    Raises:
        ValueError: If there is not one weight for each class.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", arXiv 1708.02002, equations 4
    and 5.
    """
    logits = in_full_precision(logits)
    losses = F.cross_entropy(logits, target, ignore_index=ignore_index, reduction="none")
    missing = 1 - torch.exp(-losses)  # 1 - p
    # At p = 1 the slope of a power below 1 is infinite, and infinity times 0, the loss, is NaN.
    focus = missing.clamp(min=torch.finfo(losses.dtype).tiny) ** gamma
    weights = pixel_weights(logits, target, ignore_index=ignore_index, class_weights=class_weights)
    return weighted_mean(focus * losses, weights)
