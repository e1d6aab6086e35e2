"""Cross-entropy, with or without class weights."""

import torch.nn.functional as F
from torch import Tensor

from autoseg.distributed import sum_over_processes
from autoseg.training.loss_functions.pixels import in_full_precision, pixel_weights, weighted_mean


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    ignore_index: int,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Average the cross-entropy over the pixels that are not ignored.

    Args:
        logits: (N, K, H, W).
        target: int64, (N, H, W).
        ignore_index: Label of pixels that do not count.
        class_weights: Weight of each true class, (K,); the mean is over weights then
            (`weighted_mean`). None weighs all pixels alike.
        label_smoothing: Share of the target that lies on all K classes evenly, in [0, 1): the true
            class has 1 - share + share / K.

    Returns:
        A scalar; 0, with zero gradients, where every pixel is ignored (torch's own mean is NaN).

    Raises:
        ValueError: If there is not one weight for each class.

    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture", arXiv 1512.00567,
    section 7 (label smoothing).
    """
    logits = in_full_precision(logits)
    if class_weights is None:
        total = F.cross_entropy(
            logits,
            target,
            ignore_index=ignore_index,
            reduction="sum",
            label_smoothing=label_smoothing,
        )
        num_labelled = sum_over_processes((target != ignore_index).sum())
        return sum_over_processes(total) / num_labelled.clamp(min=1)
    losses = F.cross_entropy(
        logits,
        target,
        ignore_index=ignore_index,
        reduction="none",
        label_smoothing=label_smoothing,
    )
    weights = pixel_weights(logits, target, ignore_index=ignore_index, class_weights=class_weights)
    return weighted_mean(losses, weights)
