"""Lovasz-softmax: the intersection over union itself, made continuous."""

import torch
from torch import Tensor

from autoseg.training.loss_functions.pixels import labelled_probabilities


def lovasz_softmax(logits: Tensor, target: Tensor, *, ignore_index: int) -> Tensor:
    """Average the Lovasz extension of the Jaccard loss over the classes of the batch.

    The Jaccard loss of a class is 1 - IoU over the labelled pixels of all images (the paper's
    "batch" setting). A class that is nowhere in the truth is left out of the mean (its "present"
    setting).

    Args:
        logits: (N, K, H, W).
        target: int64, (N, H, W).
        ignore_index: Label of pixels that do not count.

    Returns:
        A scalar in [0, 1]; 0, with zero gradients, where every pixel is ignored.

    Source: Berman, Triki, Blaschko 2018, "The Lovasz-Softmax loss", arXiv 1705.08790, section 3
    and algorithm 1.
    """
    probabilities, labels = labelled_probabilities(logits, target, ignore_index=ignore_index)
    losses = []
    for index in labels.unique().tolist():
        is_class = labels == index
        errors = torch.where(is_class, 1 - probabilities[index], probabilities[index])
        losses.append(jaccard_extension(errors, is_class))
    # Without a labelled pixel the sum is over nothing: 0, and still a function of the logits.
    return torch.stack(losses).mean() if losses else probabilities.sum()


def jaccard_extension(errors: Tensor, is_class: Tensor) -> Tensor:
    """Extend the Jaccard loss of one class from sets of wrong pixels to errors in between.

    Convex and piecewise linear in the errors; where each error is 0 or 1 it is the Jaccard loss of
    the pixels that are wrong.

    Args:
        errors: (P,), in [0, 1].
        is_class: Pixels that are truly of the class, bool, (P,), at least one.

    Returns:
        A scalar in [0, 1].

    Source: arXiv 1705.08790, algorithm 1.
    """
    # Stable: equal errors, as under equal logits, keep one order on every device.
    errors, order = errors.sort(descending=True, stable=True)
    return (errors * _jaccard_steps(is_class[order], errors.dtype)).sum()


def _jaccard_steps(is_class: Tensor, dtype: torch.dtype) -> Tensor:
    """Tell by how much each further wrong pixel, in order, raises the Jaccard loss.

    With intersection I and union U as the pixel leaves them, a missed pixel of the class lowers I
    by one, and a pixel wrongly given to it raises U by one:

        (I + 1) / U - I / U = 1 / U        and        I / (U - 1) - I / U = I / (U (U - 1)).

    Algorithm 1 subtracts neighbouring losses instead. In float32, whose numbers near 1 are 6e-8
    apart, that leaves little of the steps of a million pixels.
    """
    intersection = (is_class.sum() - is_class.cumsum(0)).to(dtype)
    union = (is_class.sum() + (~is_class).cumsum(0)).to(dtype)
    return torch.where(is_class, 1, intersection / (union - 1)) / union
