"""Dice loss: the overlap of each class, so that small classes count as much as large ones."""

import torch
from torch import Tensor

from autoseg.distributed import sum_over_processes
from autoseg.training.loss_functions.pixels import labelled_probabilities


def dice_loss(logits: Tensor, target: Tensor, *, ignore_index: int) -> Tensor:
    """Average 1 - 2 sum(p g) / (sum(p^2) + sum(g^2)) over the classes of the batch.

    p is a class's probability, g its truth (0 or 1); the sums are over the labelled pixels of all
    images. The paper has two classes and scores one of them. A class that is nowhere in the truth
    is left out of the mean: its term would be 1 with a gradient of 0, whatever is predicted.

    Args:
        logits: (N, K, H, W).
        target: int64, (N, H, W).
        ignore_index: Label of pixels that do not count.

    Returns:
        A scalar in [0, 1]; 0, with zero gradients, where every pixel is ignored.

    Source: Milletari, Navab, Ahmadi 2016, "V-Net", arXiv 1606.04797, section 3.
    """
    probabilities, labels = labelled_probabilities(logits, target, ignore_index=ignore_index)
    counts = sum_over_processes(torch.bincount(labels, minlength=len(probabilities)))
    present = counts.nonzero()[:, 0]
    predicted = probabilities[present]  # (K, P) -> (C, P)
    overlap = sum_over_processes((predicted * (labels == present[:, None])).sum(dim=1))
    squares = sum_over_processes(predicted.square().sum(dim=1))
    # The truth is 0 or 1, its own square. It has a pixel of each class, so that nothing is 0 / 0.
    dice = 2 * overlap / (squares + counts[present])
    return (1 - dice).sum() / max(len(present), 1)
