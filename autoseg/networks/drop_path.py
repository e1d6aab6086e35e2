"""ScheduledDropPath."""

import torch
from torch import Tensor, nn


def keep_probability(progress: float, layer: int, num_layers: int, *, final: float) -> float:
    """Probability that an operation's output is kept.

    Falls linearly over the training, and the more the deeper the cell.

    Args:
        progress: t / T, the share of the training that is done, in [0, 1].
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
    """

    def __init__(self) -> None:
        super().__init__()
        self.keep = 1.0

    def forward(self, features: Tensor) -> Tensor:
        """Zero each image of (N, C, H, W) with probability 1 - keep; divide the rest by keep."""
        if not self.training or self.keep == 1.0:
            return features
        mask = torch.empty(
            features.shape[0], 1, 1, 1, dtype=features.dtype, device=features.device
        ).bernoulli_(self.keep)
        return features * mask / self.keep
