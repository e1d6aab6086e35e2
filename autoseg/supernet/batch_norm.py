"""Batch norm of many edges in one call.

Running statistics: every (input cell, edge, operation) keeps its own mean and variance, because the
batch statistics that it is trained with are its own too; evaluation then computes what training
computed, up to the estimate. Public re-implementations share one pair over the input cells of an
edge, which mixes distributions that the mathematics keeps apart.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-5
"""Added to each variance, as in the papers' code."""

_MOMENTUM = 0.1


class RunningStatistics(nn.Module):
    """Running means and variances of many features: torch's batch norm rule, momentum 0.1."""

    mean: Tensor
    var: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("var", torch.ones(num_features))
        self.updates = True

    @property
    def momentum(self) -> float:
        """Weight of the present batch; 0 where the statistics are to stay as they are."""
        return _MOMENTUM if self.updates else 0.0


def batch_norm(
    stacked: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    training: bool,
    momentum: float,
    scale: Tensor | None = None,
) -> Tensor:
    """Normalise each channel of each stacked edge, without learned scale or shift.

    Source: DARTS, arXiv 1806.09055, section 3.1: no affine parameters during the search, because
    they would rescale the candidate operations.

    Args:
        stacked: (N, ..., H, W), whose middle dimensions multiply to the number of features.
        mean: Running mean, (features,); updated in training.
        var: Running variance, likewise.
        training: Whether to normalise by the statistics of the batch.
        momentum: Weight of the batch in the running statistics.
        scale: Weight of each feature after the normalisation, (features,): the edge's alpha, for
            free.

    Returns:
        The shape of `stacked`.
    """
    # Not a reshape where none is needed: that of a single image with its channels last has strides
    # for which torch 2.13 computes a wrong gradient on the CPU.
    flat = stacked if stacked.dim() == 4 else stacked.flatten(1, -3)
    normalised = F.batch_norm(
        flat, mean, var, weight=scale, training=training, momentum=momentum, eps=EPS
    )
    return normalised.view(stacked.shape)


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Leave running statistics as they are while a forward pass is repeated (recomputation)."""
    statistics = [m for m in module.modules() if isinstance(m, RunningStatistics)]
    for running in statistics:
        running.updates = False
    try:
        yield
    finally:
        for running in statistics:
            running.updates = True
