"""Zero-cost scores by name."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from autoseg.cost import count_macs, count_parameters
from autoseg.zero_cost.activations import jacov, nwot
from autoseg.zero_cost.gradients import Batch, Loss, snip, zico

ZeroCostScore = Callable[[nn.Module, Sequence[Batch], Loss], float]
"""Scores a network on batches; higher is taken for better."""


def _images(batches: Sequence[Batch]) -> torch.Tensor:
    return torch.cat([images for images, _ in batches])


def _macs(network: nn.Module, batches: Sequence[Batch], loss: Loss) -> float:
    height, width = batches[0][0].shape[-2:]
    return float(count_macs(network, (height, width)).macs)


ZERO_COST_SCORES: dict[str, ZeroCostScore] = {
    "parameters": lambda network, batches, loss: float(count_parameters(network)),
    "macs": _macs,
    "jacov": lambda network, batches, loss: jacov(network, _images(batches)),
    "nwot": lambda network, batches, loss: nwot(network, _images(batches)),
    "snip": snip,
    "zico": zico,
}
"""The scores by name; the first two are the size that the others have to beat."""
