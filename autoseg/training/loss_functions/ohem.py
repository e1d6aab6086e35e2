"""Online hard example mining: only the pixels that are still hard count."""

import math

import torch.nn.functional as F
from torch import Tensor

from autoseg.training.loss_functions.pixels import in_full_precision, pixel_weights, weighted_mean

THRESHOLD = 0.7
"""The field's custom (OCNet, HRNet, mmsegmentation)."""
MIN_KEPT = 1 / 16
"""A share, as in the BiSeNet reimplementations. The other custom, 100000 pixels, is more than a
small crop or a coarse auxiliary map has; there it would switch the mining off."""


def ohem_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    ignore_index: int,
    threshold: float = THRESHOLD,
    min_kept: float = MIN_KEPT,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Average the cross-entropy over the hard pixels of the batch.

    A pixel is hard if the probability of its true class is at most `threshold`. Where these are
    fewer than the share `min_kept` of the labelled pixels, the least probable ones are taken until
    the share is reached, and any that are as probable as the last of them.

    Args:
        logits: (N, K, H, W).
        target: int64, (N, H, W).
        ignore_index: Label of pixels that do not count.
        threshold: Probability, in (0, 1]; 1 keeps all pixels, which is cross-entropy.
        min_kept: Smallest share of the labelled pixels that is kept, in [0, 1].
        class_weights: Weight of each true class, (K,), in the mean over the kept pixels
            (`weighted_mean`), not in their choice. None weighs all classes alike.

    Returns:
        A scalar; 0, with zero gradients, where no pixel is kept.

    Raises:
        ValueError: If there is not one weight for each class.

    Source: Wu, Shen, van den Hengel 2016, "High-performance Semantic Segmentation Using Very Deep
    Fully Convolutional Networks", arXiv 1604.04339 ("online bootstrapping"): the pixelwise form of
    what Shrivastava et al. 2016, arXiv 1604.03540, call OHEM.
    """
    logits = in_full_precision(logits)
    losses = F.cross_entropy(logits, target, ignore_index=ignore_index, reduction="none")
    weights = pixel_weights(logits, target, ignore_index=ignore_index, class_weights=class_weights)
    is_labelled = target != ignore_index
    least = _least_loss(losses.detach()[is_labelled], threshold=threshold, min_kept=min_kept)
    return weighted_mean(losses, weights * (is_labelled & (losses >= least)))


def _least_loss(losses: Tensor, *, threshold: float, min_kept: float) -> float:
    """Find the smallest loss that is kept; `losses` (P,) are those of the labelled pixels."""
    threshold_loss = -math.log(threshold)
    num_kept = math.ceil(min_kept * len(losses))
    if num_kept == 0:
        return threshold_loss
    return min(threshold_loss, losses.topk(num_kept).values[-1].item())
