"""The loss of a network's output, with or without auxiliary classifiers."""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from autoseg.contract import TrainingLogits
from autoseg.training.loss_functions.cross_entropy import cross_entropy


class Loss(Protocol):
    """Compares logits with the truth."""

    def __call__(self, logits: Tensor, target: Tensor, *, ignore_index: int) -> Tensor:
        """Return a scalar; logits (N, K, H, W), target int64 (N, H, W)."""
        ...


def segmentation_loss(
    output: Tensor | TrainingLogits,
    target: Tensor,
    *,
    ignore_index: int,
    loss: Loss = cross_entropy,
) -> Tensor:
    """Apply a loss to a network's output and, weighted, to its auxiliary classifiers.

    An auxiliary map is compared with the label at the map's own resolution, each pixel taken from
    the nearest one of the label ("cascade label guidance" of ICNet, arXiv 1704.08545, section 3.3);
    classes are never interpolated.

    Args:
        output: Logits (N, K, H, W), or those of a network with auxiliary classifiers.
        target: int64, (N, H, W).
        ignore_index: Label of pixels that do not count.
        loss: The loss of each map.
    """
    if isinstance(output, Tensor):
        return loss(output, target, ignore_index=ignore_index)
    total = loss(output.logits, target, ignore_index=ignore_index)
    for logits, weight in zip(output.auxiliary, output.weights, strict=True):
        small = label_at(target, logits.shape[2:])
        total = total + weight * loss(logits, small, ignore_index=ignore_index)
    return total


def label_at(target: Tensor, size: Sequence[int]) -> Tensor:
    """Take the nearest pixels of labels, int64, (N, H, W), to make them (N, *size)."""
    if tuple(target.shape[1:]) == tuple(size):
        return target
    # Through float: torch resizes no integers. float32 is exact up to 2**24 classes.
    small = F.interpolate(target[:, None].float(), tuple(size), mode="nearest-exact")
    return small[:, 0].to(torch.int64)
