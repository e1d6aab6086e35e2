"""Losses of networks with and without auxiliary classifiers."""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class HasAuxiliary(Protocol):
    """Output of a network in training mode that has auxiliary classifiers."""

    @property
    def logits(self) -> Tensor:
        """(N, K, H, W)."""
        ...

    @property
    def auxiliary(self) -> tuple[Tensor, ...]:
        """Each (N, K, h, w), at its own resolution."""
        ...

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of each auxiliary loss."""
        ...


def cross_entropy(logits: Tensor, target: Tensor, *, ignore_index: int) -> Tensor:
    """Average the cross-entropy over the pixels that are not ignored.

    Args:
        logits: (N, K, H, W).
        target: int64, (N, H, W).
        ignore_index: Label of pixels that do not count.

    Returns:
        A scalar; 0, with zero gradients, where every pixel is ignored (torch's own mean is NaN).
    """
    total = F.cross_entropy(logits.float(), target, ignore_index=ignore_index, reduction="sum")
    return total / (target != ignore_index).sum().clamp(min=1)


def segmentation_loss(
    output: Tensor | HasAuxiliary, target: Tensor, *, ignore_index: int
) -> Tensor:
    """Cross-entropy of a network's output, with its auxiliary classifiers.

    An auxiliary map is compared with the label at the map's own resolution, each pixel taken from
    the nearest one of the label ("cascade label guidance" of ICNet, arXiv 1704.08545, section 3.3);
    classes are never interpolated.

    Args:
        output: Logits (N, K, H, W), or a value with `logits`, `auxiliary` and `weights`.
        target: int64, (N, H, W).
        ignore_index: Label of pixels that do not count.
    """
    if isinstance(output, Tensor):
        return cross_entropy(output, target, ignore_index=ignore_index)
    loss = cross_entropy(output.logits, target, ignore_index=ignore_index)
    for logits, weight in zip(output.auxiliary, output.weights, strict=True):
        # Through float: torch resizes no integers. float32 is exact up to 2**24 classes.
        small = F.interpolate(target[:, None].float(), logits.shape[2:], mode="nearest-exact")
        small = small[:, 0].to(torch.int64)
        loss = loss + weight * cross_entropy(logits, small, ignore_index=ignore_index)
    return loss
