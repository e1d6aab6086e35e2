"""Averages over the bins of a grid."""

import torch
import torch.nn.functional as F
from torch import Tensor


def pool_to_grid(features: Tensor, bins: int) -> Tensor:
    """Average a map over a grid of bins, which overlap where they do not divide it.

    Bin b of a side of S positions holds those from floor(b S / bins) up to ceil((b + 1) S / bins).

    Args:
        features: (N, C, H, W).
        bins: Bins a side.

    Returns:
        (N, C, bins, bins).
    """
    if not torch.compiler.is_exporting():
        return F.adaptive_avg_pool2d(features, bins)
    return grid_means(features, bins)


def grid_means(features: Tensor, bins: int) -> Tensor:
    """Compute `pool_to_grid` by matrix products: ONNX has no pooling to a grid of any map."""
    rows, columns = (_shares(side, bins, like=features) for side in features.shape[2:])
    return rows @ features @ columns.T


def _shares(side: int, bins: int, *, like: Tensor) -> Tensor:
    """Return what each position gives to each bin's mean, (bins, side)."""
    position = torch.arange(side, device=like.device)
    number = torch.arange(bins, device=like.device)[:, None]
    begins_before_end = position * bins < (number + 1) * side
    ends_after_start = (position + 1) * bins > number * side
    inside = (begins_before_end & ends_after_start).to(like.dtype)
    return inside / inside.sum(dim=1, keepdim=True)
