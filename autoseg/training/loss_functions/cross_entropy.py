"""Cross-entropy, with or without class weights."""

import torch.nn.functional as F
from torch import Tensor

from autoseg.training.loss_functions.pixels import in_full_precision, pixel_weights, weighted_mean


def cross_entropy(
    logits: Tensor, target: Tensor, *, ignore_index: int, class_weights: Tensor | None = None
) -> Tensor:
    """Average the cross-entropy over the pixels that are not ignored.

    Args:
        logits: (N, K, H, W).
        target: int64, (N, H, W).
        ignore_index: Label of pixels that do not count.
        class_weights: Weight of each true class, (K,); the mean is over weights then
            (`weighted_mean`). None weighs all pixels alike.

    Returns:
        A scalar; 0, with zero gradients, where every pixel is ignored (torch's own mean is NaN).

    Raises:
        ValueError: If there is not one weight for each class.
    """
    logits = in_full_precision(logits)
    if class_weights is None:
        total = F.cross_entropy(logits, target, ignore_index=ignore_index, reduction="sum")
        return total / (target != ignore_index).sum().clamp(min=1)
    losses = F.cross_entropy(logits, target, ignore_index=ignore_index, reduction="none")
    weights = pixel_weights(logits, target, ignore_index=ignore_index, class_weights=class_weights)
    return weighted_mean(losses, weights)
