"""One source operation as a differentiable function over fused kernels.

`autoseg.supernet.fused_cell` evaluates a whole cell between its inputs and its nodes and leaves no
room for anything else. Where a space has registered operations, which send to the same nodes, the
cell is evaluated state by state, and the kernels see one state at a time.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autoseg.first_order import first_order
from autoseg.supernet.fused_cell import SourceKernels
from autoseg.supernet.source_layout import SourceLayout


@dataclass(frozen=True)
class FusedSource:
    """A source operation's kernels, with what stays the same from step to step."""

    kernels: SourceKernels
    layout: SourceLayout
    training: bool
    momentum: float
    keep: bool
    """Keep maps for the backward pass, or evaluate them again there."""

    def __call__(
        self, state: Tensor, alpha: Tensor, weight: Tensor, statistics: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Sum the weighted operations of the table's families on every edge.

        Args:
            state: (N, K, C, H, W), in the precision of alpha.
            alpha: (T, num_operations).
            weight: Flat.
            statistics: Running mean and variance, flat; moved in training.

        Returns:
            (N, K, T, C, H, W).
        """
        output = _FusedSource.apply(self, state, alpha, statistics, weight)
        assert isinstance(output, Tensor)
        return output


class _FusedSource(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        source: FusedSource,
        state: Tensor,
        alpha: Tensor,
        statistics: tuple[Tensor, Tensor],
        weight: Tensor,
    ) -> Tensor:
        kernels = source.kernels
        num_images, num_inputs, channels, height, width = state.shape
        ctx.source, ctx.size = source, (num_images, channels, height, width)
        packed = kernels.pack(state)
        out = packed.new_zeros(source.layout.num_targets, *packed.shape)
        saved = kernels.forward(
            source.layout,
            weight,
            statistics,
            packed,
            alpha,
            out,
            size=ctx.size,
            training=source.training,
            momentum=source.momentum,
            keep=source.keep,
        )
        ctx.save_for_backward(packed, alpha, weight, *saved)
        maps = kernels.unpack(out.flatten(0, 1), num_images, channels)  # (N, T * K, C, H, W)
        return maps.unflatten(1, (-1, num_inputs)).transpose(1, 2).contiguous()

    @staticmethod
    @first_order('build the Supernet with backend="torch"')
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        source: FusedSource = ctx.source
        packed, alpha, weight, *saved = ctx.saved_tensors
        _, _, wants_alpha, _, wants_weight = ctx.needs_input_grad
        # (N, K, T, C, H, W) -> packed (T * K, ...) -> (T, K, ...)
        grad_out = source.kernels.pack(grad_output.transpose(1, 2).flatten(1, 2))
        grad_out = grad_out.unflatten(0, (-1, grad_output.shape[1]))
        grad_state = torch.zeros_like(packed)
        grad_alpha = torch.empty_like(alpha) if wants_alpha else None
        grad_weight = torch.empty_like(weight) if wants_weight else None
        source.kernels.backward(
            source.layout,
            weight,
            packed,
            alpha,
            tuple(saved),
            grad_out,
            grad_state,
            size=ctx.size,
            training=source.training,
            grad_weight=grad_weight,
            grad_alpha=grad_alpha,
        )
        grad_maps = source.kernels.unpack(grad_state, ctx.size[0], ctx.size[1])
        return None, grad_maps, grad_alpha, None, grad_weight
