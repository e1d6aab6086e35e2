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


class StackedBatchNorm(nn.Module):
    """Batch norm without learned scale or shift over stacked edges.

    Source: DARTS, arXiv 1806.09055, section 3.1: no affine parameters during the search, because
    they would rescale the candidate operations.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, *, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum = momentum
        self.eps = eps
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.updates_statistics = True

    def forward(self, stacked: Tensor, scale: Tensor | None = None) -> Tensor:
        """Normalise each channel of each stacked edge.

        Args:
            stacked: (N, ..., H, W), whose middle dimensions multiply to `num_features`.
            scale: Weight of each feature after the normalisation, of `num_features` elements: the
                edge's alpha, for free.

        Returns:
            The same shape.
        """
        flat = stacked.reshape(stacked.shape[0], -1, *stacked.shape[-2:])
        normalised = F.batch_norm(
            flat,
            self.running_mean,
            self.running_var,
            weight=scale,
            training=self.training,
            momentum=self.momentum if self.updates_statistics else 0.0,
            eps=self.eps,
        )
        return normalised.view(stacked.shape)


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Leave running statistics as they are while a forward pass is repeated (recomputation)."""
    stacked = [m for m in module.modules() if isinstance(m, StackedBatchNorm)]
    for norm in stacked:
        norm.updates_statistics = False
    try:
        yield
    finally:
        for norm in stacked:
            norm.updates_statistics = True
