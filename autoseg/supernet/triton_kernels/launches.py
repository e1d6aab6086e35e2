"""One method per launch, or per group of launches: grids, tables and tile sizes filled in."""

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from autoseg.architecture.operations import AVG_POOL, MAX_POOL, SKIP
from autoseg.supernet.triton_kernels import atrous, batch_norm, mixing, pooling, separable
from autoseg.supernet.triton_kernels.plan import FREE_FAMILIES, SourcePlan, Tiling


class Norms(NamedTuple):
    """Buffers in the order of the features."""

    maps: Tensor
    """Before batch norm, a slab (P, C) for every C features; the pools' slabs are not used."""
    mean: Tensor
    rstd: Tensor
    """1 / sqrt(variance + eps)."""


class Upstream(NamedTuple):
    """What the gradients of the maps before batch norm are made of."""

    grad_out: Tensor
    """Packed, (T, K, N, H, W, C)."""
    grad_inputs: Tensor
    """Gradient of what each convolution read, in the slabs of the convolution's own features."""
    alpha: Tensor
    sum_grad: Tensor
    """Sum over the pixels of the gradient after each batch norm, (num_sums,)."""
    sum_product: Tensor
    """Sum over the pixels of that gradient times the normalised map, (num_sums,)."""
    num_columns: int
    """Number of columns of alpha: the candidate operations."""


class ColumnRange(NamedTuple):
    """Columns first ... end - 1 of a matrix, without a gap of `gap_size` from `gap` on."""

    first: int
    end: int
    gap: int = 0
    gap_size: int = 0

    @property
    def size(self) -> int:
        """Number of columns."""
        return self.end - self.first - self.gap_size


class Launches:
    """The kernels of one source operation at one size."""

    def __init__(
        self,
        plan: SourcePlan,
        tiling: Tiling,
        shape: tuple[int, int, int],
        state: Tensor,
        *,
        precision: str,
        num_warps: int,
    ) -> None:
        """Keep what all launches share.

        Args:
            plan: The tables.
            tiling: The tiles of the maps.
            shape: (P, H, W), with P pixels in the batch.
            state: Packed, (K, N, H, W, C).
            precision: Precision of matrix products, "ieee" or "tf32".
            num_warps: Warps of one program.
        """
        self.plan, self.tiling, self.shape, self.state = plan, tiling, shape, state
        self.counts = plan.num_targets, plan.num_inputs
        self._precision = {"PRECISION": precision}
        self._tiles = {
            "C": plan.channels,
            "BLOCK": tiling.block,
            "BLOCK_C": tiling.channel_block,
            "num_warps": num_warps,
        }
        columns = dict(zip(FREE_FAMILIES, plan.free_columns, strict=True))
        self._pools = {"MAX": columns[MAX_POOL], "AVG": columns[AVG_POOL]}
        self._free = {"SKIP": columns[SKIP], **self._pools}
        self.num_weight_parts = tiling.num_chunks * plan.num_inputs
        """Parts that the gradient of each weight is summed from."""

    def empty(self, *shape: int) -> Tensor:
        """Allocate a buffer."""
        return self.state.new_empty(shape)

    def state_maps(self, weight: Tensor, norms: Norms, moments: Tensor | None) -> None:
        """Evaluate all convolutions of the state."""
        self._separable(weight, norms, moments, is_second=False)
        rows = self.plan.atrous_rows
        if len(rows):
            _launch(
                atrous.atrous_kernel, self._edges(rows),
                rows, weight, self.state, norms.maps, *self._moments(moments), *self.counts,
                self.shape, HAS_MOMENTS=moments is not None, **self._tiles, **self._precision,
            )  # fmt: skip

    def second_maps(self, weight: Tensor, norms: Norms, moments: Tensor | None) -> None:
        """Evaluate the second halves of the separable convolutions."""
        self._separable(weight, norms, moments, is_second=True)

    def pool_moments(self, moments: Tensor) -> None:
        """Take the moments of the pooled states."""
        if max(self._pools.values()) >= 0:
            _launch(
                pooling.pool_moments_kernel, self._inputs(),
                self.state, moments, self.plan.num_features, self.plan.avg_feature, self.shape,
                **self._tiles, **self._pools,
            )  # fmt: skip

    def statistics(
        self,
        moments: Tensor,
        norms: Norms,
        running: tuple[Tensor, Tensor],
        columns: ColumnRange,
        momentum: float,
    ) -> None:
        """Merge the moments of some features, and update their running statistics."""
        if columns.size:
            _launch(
                batch_norm.statistics_kernel, (triton.cdiv(columns.size, 16),),
                moments, norms.mean, norms.rstd, *running, self.plan.num_features, columns,
                self.tiling.num_blocks, self.shape[0], BLOCK=self.tiling.block,
                MOMENTUM=momentum, ROWS=32, BLOCK_F=16,
            )  # fmt: skip

    def mix(self, norms: Norms, alpha: Tensor, out: Tensor) -> None:
        """Add all operations, weighted by alpha, to the targets."""
        plan = self.plan
        _launch(
            mixing.mix_kernel, self._targets(),
            plan.final_rows, len(plan.final_rows), self.state, norms, alpha, alpha.shape[1], out,
            plan.avg_feature, *self.counts, self.shape, **self._tiles, **self._free,
        )  # fmt: skip

    def mix_sums(self, norms: Norms, grad_out: Tensor, partial: Tensor) -> None:
        """Sum what alpha's gradient and the last batch norms' need over each block."""
        plan = self.plan
        _launch(
            mixing.mix_sums_kernel, self._targets(),
            plan.final_rows, len(plan.final_rows), self.state, norms, grad_out, partial,
            plan.num_sums, plan.avg_feature, plan.num_features, *self.counts, self.shape,
            **self._tiles, **self._free,
        )  # fmt: skip

    def gradient_sums(self, partial: Tensor, sums: Tensor, columns: ColumnRange) -> None:
        """Add up the blocks' sums."""
        self._column_sums(partial, sums, 2, self.tiling.num_blocks, columns)

    def alpha_gradient(self, upstream: Upstream, grad_alpha: Tensor) -> None:
        """Write the gradient of alpha."""
        _launch(
            mixing.alpha_gradient_kernel, tuple(grad_alpha.shape),
            upstream.sum_product, self.plan.alpha_sums, grad_alpha, *self.counts,
            C=self.plan.channels, BLOCK_C=self.tiling.channel_block, num_warps=1,
        )  # fmt: skip

    def separable_gradients(
        self,
        weight: Tensor,
        norms: Norms,
        upstream: Upstream,
        weight_parts: Tensor | None,
        partial: Tensor,
        *,
        is_second: bool,
        training: bool,
    ) -> None:
        """Go back through depthwise and pointwise convolutions: one half, of all edges.

        Args:
            weight: Flat.
            norms: Maps and statistics of the forward pass.
            upstream: Its `grad_inputs` is written for this half, and read for the first one.
            weight_parts: (num_weight_parts, num_weights), written; None if not wanted.
            partial: Receives the sums that the first half needs, if this is the second.
            is_second: Which half.
            training: Whether the statistics are the batch's.
        """
        plan = self.plan
        rows = plan.second_rows if is_second else plan.first_rows
        if not len(rows):
            return
        grid, second = self._edges(rows), {"IS_SECOND": is_second}
        mode = {"IS_TRAINING": training, **self._precision}
        grad_depthwise = torch.empty_like(upstream.grad_inputs)
        _launch(
            separable.pointwise_gradient_kernel, grid,
            rows, weight, norms, upstream, grad_depthwise, *self.counts, self.shape,
            **self._tiles, **mode,
        )  # fmt: skip
        if weight_parts is not None:
            _launch(
                separable.pointwise_weight_kernel, self._weight_tiles(rows),
                rows, weight, self.state, norms, upstream, weight_parts, plan.num_weights,
                *self.counts, self.shape, **self._tiles, **second, **mode,
            )  # fmt: skip
            _launch(
                separable.depthwise_weight_kernel, (self.tiling.num_chunks, *grid[1:]),
                rows, self.state, norms, grad_depthwise, weight_parts, plan.num_weights,
                *self.counts, self.shape, **self._tiles, **second,
            )  # fmt: skip
        _launch(
            separable.depthwise_gradient_kernel, grid,
            rows, weight, self.state, norms, grad_depthwise, upstream.grad_inputs, partial,
            plan.num_sums, *self.counts, self.shape, **self._tiles, **second,
        )  # fmt: skip

    def atrous_gradients(
        self,
        weight: Tensor,
        norms: Norms,
        upstream: Upstream,
        weight_parts: Tensor | None,
        *,
        training: bool,
    ) -> None:
        """Go back through the full convolutions of all edges; arguments as above."""
        rows = self.plan.atrous_rows
        if not len(rows):
            return
        mode = {"IS_TRAINING": training, **self._tiles, **self._precision}
        if weight_parts is not None:
            _launch(
                atrous.atrous_weight_kernel, self._weight_tiles(rows, atrous.MAX_TAPS.value),
                rows, self.state, norms, upstream, weight_parts, self.plan.num_weights,
                *self.counts, self.shape, **mode,
            )  # fmt: skip
        _launch(
            atrous.atrous_gradient_kernel, self._edges(rows),
            rows, weight, norms, upstream, upstream.grad_inputs, *self.counts, self.shape, **mode,
        )  # fmt: skip

    def weight_gradient(self, weight_parts: Tensor, grad_weight: Tensor) -> None:
        """Add up the parts of the weights' gradient."""
        columns = ColumnRange(0, self.plan.num_weights)
        self._column_sums(weight_parts, grad_weight, 1, self.num_weight_parts, columns)

    def state_gradient(
        self, norms: Norms, upstream: Upstream, grad_state: Tensor, *, training: bool
    ) -> None:
        """Add all parts of the state's gradient."""
        plan = self.plan
        has_pools = max(self._pools.values()) >= 0
        pool_gradients = self.empty(2 * has_pools, *self.state.shape)
        max_taps = torch.empty_like(pool_gradients[:1], dtype=torch.int8)
        if has_pools:
            _launch(
                pooling.pool_gradient_kernel, self._inputs(),
                self.state, norms, upstream, pool_gradients, max_taps, plan.avg_feature,
                plan.num_features, *self.counts, self.shape, IS_TRAINING=training,
                **self._tiles, **self._pools,
            )  # fmt: skip
        _launch(
            mixing.state_gradient_kernel, self._inputs(),
            plan.state_rows, len(plan.state_rows), self.state, upstream, pool_gradients,
            max_taps, grad_state, *self.counts, self.shape, **self._tiles, **self._free,
        )  # fmt: skip

    def _separable(
        self, weight: Tensor, norms: Norms, moments: Tensor | None, *, is_second: bool
    ) -> None:
        rows = self.plan.second_rows if is_second else self.plan.first_rows
        if len(rows):
            _launch(
                separable.separable_kernel, self._edges(rows),
                rows, weight, self.state, norms, *self._moments(moments), *self.counts, self.shape,
                IS_SECOND=is_second, HAS_MOMENTS=moments is not None,
                **self._tiles, **self._precision,
            )  # fmt: skip

    def _moments(self, moments: Tensor | None) -> tuple[Tensor, int]:
        # A kernel takes a tensor in any case; without moments it does not touch it.
        return self.state if moments is None else moments, self.plan.num_features

    def _column_sums(
        self, parts: Tensor, sums: Tensor, num_matrices: int, num_rows: int, columns: ColumnRange
    ) -> None:
        if columns.size:
            num_columns = sums.numel() // num_matrices
            grid = triton.cdiv(columns.size, 32), num_matrices
            _launch(
                batch_norm.column_sums_kernel,
                grid,
                parts,
                sums,
                num_columns,
                columns,
                num_rows,
                ROWS=32,
                BLOCK_F=32,
            )

    def _edges(self, rows: Tensor) -> tuple[int, int, int]:
        num_edges = len(rows) * self.plan.num_targets * self.plan.num_inputs
        return self.tiling.num_blocks, num_edges, self.tiling.num_channel_blocks

    def _weight_tiles(self, rows: Tensor, num_taps: int = 1) -> tuple[int, int, int]:
        _, num_edges, num_channel_blocks = self._edges(rows)
        return self.tiling.num_chunks, num_edges, num_channel_blocks**2 * num_taps

    def _targets(self) -> tuple[int, int, int]:
        num_pairs = self.plan.num_targets * self.plan.num_inputs
        return self.tiling.num_blocks, num_pairs, self.tiling.num_channel_blocks

    def _inputs(self) -> tuple[int, int, int]:
        return self.tiling.num_blocks, self.plan.num_inputs, self.tiling.num_channel_blocks


def _launch(
    kernel: Any, grid: tuple[int, ...], tensor: Tensor, *rest: Any, **constants: Any
) -> None:
    # Triton launches on the current device, whichever device the tensors are on.
    with torch.cuda.device_of(tensor):
        # Fused multiply-add rounds once instead of twice. Said here, since triton's default
        # changes.
        kernel[grid](tensor, *rest, **constants, enable_fp_fusion=True)
