"""ScheduledDropPath."""

import torch
from torch import Tensor, nn


def keep_probability(
    progress: float | Tensor, layer: int, num_layers: int, *, final: float
) -> float | Tensor:
    """Probability that an operation's output is kept.

    Falls linearly over the training, and the more the deeper the cell.

    Args:
        progress: t / T, the share of the training that is done, in [0, 1]; of a tensor, so is what
            is returned.
        layer: l, the number of the cell, from 0.
        num_layers: L.
        final: p, the probability in the last cell at the end of the training.

    Source: Zoph et al. 2018, arXiv 1707.07012, "ScheduledDropPath", with the formula of
    Auto-DeepLab's TensorFlow cell: 1 - (t / T) * ((l + 1) / L) * (1 - p).
    """
    return 1 - progress * (layer + 1) / num_layers * (1 - final)


class DropPath(nn.Module):
    """Drop an operation's output for some images of a batch, and scale up the others.

    Does nothing in evaluation.

    Attributes:
        keep: Probability that an image's output is kept, in (0, 1]; a scalar on the device where
            its value must not be read, as in a compiled network.
    """

    keep: float | Tensor

    def __init__(self) -> None:
        super().__init__()
        self.keep = 1.0

    def forward(self, features: Tensor) -> Tensor:
        """Zero each image of (N, C, H, W) with probability 1 - keep; divide the rest by keep."""
        if not self.training:
            return features
        shape = (features.shape[0], 1, 1, 1)
        if isinstance(self.keep, Tensor):
            keep = self.keep.to(features.dtype)
            is_kept = torch.rand(shape, device=features.device) < self.keep
            return features * is_kept.to(features.dtype) / keep
        if self.keep == 1.0:
            return features
        mask = torch.empty(shape, dtype=features.dtype, device=features.device)
        return features * mask.bernoulli_(self.keep) / self.keep
