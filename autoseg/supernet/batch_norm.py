"""Batch norm of many edges in one call.

Running statistics: every (input cell, edge, operation) keeps its own mean and variance, because the
batch statistics that it is trained with are its own too; evaluation then computes what training
computed, up to the estimate. Public re-implementations share one pair over the input cells of an
edge, which mixes distributions that the mathematics keeps apart.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

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
        self.share = _MOMENTUM

    @property
    def momentum(self) -> float:
        """Weight of the present batch; 0 where the statistics are to stay as they are."""
        return self.share if self.updates else 0.0


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
    normalised = F.batch_norm(
        with_usual_strides(stacked.flatten(1, -3)),
        mean,
        var,
        weight=scale,
        training=training,
        momentum=momentum,
        eps=EPS,
    )
    return with_usual_strides(normalised).view(stacked.shape)


def with_usual_strides(maps: Tensor) -> Tensor:
    """Guard a batch norm that takes or gives these maps, (N, C, H, W), from a fault of torch's.

    See `_WithUsualStrides`; maps without a dimension of size 1 are returned as they are.
    """
    if 1 not in maps.shape:
        return maps
    guarded = _WithUsualStrides.apply(maps)
    assert isinstance(guarded, Tensor)
    return guarded


class _WithUsualStrides(torch.autograd.Function):
    """Give dimensions of size 1 the strides that they would have if they were longer.

    Views leave such a dimension whatever stride falls to it, say 4 for the only image in
    (4, 1, 36, 4) of maps (1, 4, 7, 9). By one of torch's rules the maps are then channels last, by
    another they are contiguous, and its batch norm on the CPU (2.13) walks through input and
    gradient in different orders: the gradient that it returns is wrong by more than its own size,
    in silence.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        return _restrided(maps)

    @staticmethod
    def backward(ctx: Any, grad_maps: Tensor) -> Tensor:  # type: ignore[override]
        return _restrided(grad_maps)


def _restrided(maps: Tensor) -> Tensor:
    _, channels, height, width = maps.shape
    pixels = height * width
    if maps.is_contiguous():
        return maps.as_strided(maps.shape, (channels * pixels, pixels, width, 1))
    if maps.is_contiguous(memory_format=torch.channels_last):
        return maps.as_strided(maps.shape, (channels * pixels, 1, width * channels, channels))
    return maps


def edge_statistics(network: nn.Module) -> list[Tensor]:
    """List the running means and variances of a supernet's edges; stem and head have torch's."""
    statistics = [m for m in network.modules() if isinstance(m, RunningStatistics)]
    return [tensor for running in statistics for tensor in (running.mean, running.var)]


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Leave running statistics as they are while a forward pass is repeated (recomputation)."""
    statistics = [m for m in module.modules() if isinstance(m, RunningStatistics)]
    # Of registered operations.
    norms = [m for m in module.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    counts = [norm.num_batches_tracked.clone() for norm in norms]  # pyright: ignore[reportOptionalMemberAccess]
    for running in statistics:
        running.updates = False
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for running in statistics:
            running.updates = True
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)  # pyright: ignore[reportOptionalMemberAccess]


def estimate_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace running statistics by the plain average over the statistics of some batches.

    A supernet whose weights are shared has the statistics of all networks at once; a single one is
    scored with its own.

    Source: Guo et al. 2019, "Single Path One-Shot Neural Architecture Search with Uniform
    Sampling", arXiv 1904.00420, section 3.4.

    Args:
        network: Left in the mode in which it came; batch norms that it does not use in a forward
            pass keep their statistics, unless these are not finite.
        batches: Images, normalised, (N, 3, H, W), where the network is.
    """
    norms = [m for m in network.modules() if isinstance(m, RunningStatistics | nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    modes = [(module, module.training) for module in network.modules()]
    network.train()
    for buffer in (buffer for norm in norms for buffer in norm.buffers()):
        if buffer.is_floating_point():  # what a network before left as NaN, 0 x NaN would keep
            buffer.nan_to_num_()
    try:
        for number, images in enumerate(batches, start=1):
            for norm in norms:
                _set_momentum(norm, 1 / number)
            with torch.no_grad():
                network(images)
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            _set_momentum(norm, momentum)
        for module, was_training in modes:
            module.training = was_training


def _set_momentum(norm: nn.Module, momentum: float | None) -> None:
    if isinstance(norm, RunningStatistics):
        assert momentum is not None
        norm.share = momentum
    else:
        assert isinstance(norm, nn.BatchNorm2d)
        norm.momentum = momentum
