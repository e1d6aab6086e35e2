"""The source operation on CUDA: which kernels run, in which order, on which buffers.

Every launch covers all edges (input cell, target, operation) of its stage. Shapes alone decide
grids and allocations, and nothing is read back to the host: a CUDA graph can capture it all, once
a first call has compiled the kernels and copied the tables to the device.
"""

import torch
from torch import Tensor

from autoseg.supernet.batch_norm import EPS
from autoseg.supernet.fused_cell import Size
from autoseg.supernet.source_layout import SourceLayout
from autoseg.supernet.triton_kernels.launches import ColumnRange, Launches, Norms, Upstream
from autoseg.supernet.triton_kernels.plan import SourcePlan, Tiling


class TritonSourceKernels:
    """Forward and backward pass of a source operation.

    Maps are packed as (K, N, H, W, C), contiguous; contributions as (T, K, N, H, W, C).
    Results are the same bits in every run on one device.
    """

    def __init__(
        self,
        *,
        allow_tf32: bool = False,
        block_elements: int = 1024,
        num_programs: int = 512,
        num_warps: int = 4,
    ) -> None:
        """Choose precision and tile sizes.

        Args:
            allow_tf32: Round the operands of matrix products to TF32 (10 bits of mantissa), for
                speed. Exact float32 products otherwise.
            block_elements: Pixels times channels of one program.
            num_programs: Programs that a weight gradient is spread over, at least.
            num_warps: Warps of one program.
        """
        self.allow_tf32 = allow_tf32
        self.block_elements = block_elements
        self.num_programs = num_programs
        self.num_warps = num_warps
        self._plans: dict[tuple[SourceLayout, torch.device], SourcePlan] = {}

    def pack(self, maps: Tensor) -> Tensor:
        """(N, K, C, H, W) -> (K, N, H, W, C), contiguous."""
        return maps.permute(1, 0, 3, 4, 2).contiguous()

    def unpack(self, packed: Tensor, num_images: int, channels: int) -> Tensor:
        """(K, N, H, W, C) -> (N, K, C, H, W), a view."""
        assert (packed.shape[1], packed.shape[4]) == (num_images, channels)
        return packed.permute(1, 0, 4, 2, 3)

    def forward(
        self,
        layout: SourceLayout,
        weight: Tensor,
        statistics: tuple[Tensor, Tensor],
        state: Tensor,
        alpha: Tensor,
        out: Tensor,
        *,
        size: Size,
        training: bool,
        momentum: float,
        keep: bool,
    ) -> tuple[Tensor, ...]:
        """Add the contributions of a state to all its targets.

        Args:
            layout: Where everything lies in the flat tensors.
            weight: Flat, in the order of `layout.weights`.
            statistics: (running mean, running variance), flat, in the order of
                `layout.features`. Updated in place in training.
            state: Packed, (K, N, H, W, C).
            alpha: Normalised, (T, num_operations).
            out: Packed, (T, K, N, H, W, C), contiguous; added to in place.
            size: (N, C, H, W).
            training: Whether batch norm uses the batch's statistics.
            momentum: Share of the batch in the running statistics; 0 leaves them as they are.
            keep: Keep the maps before batch norm for `backward`, else compute them there again.

        Returns:
            What `backward` needs besides.

        Raises:
            ValueError: In training with one pixel in all, which has no variance.
        """
        num_pixels = size[0] * size[2] * size[3]
        if training and num_pixels == 1:
            raise ValueError(
                f"TritonSourceKernels.forward: size {size} has one value per channel, whose "
                "variance is not defined; train on more images or larger ones"
            )
        launches = self._launches(layout, state, size)
        plan = launches.plan
        weight, alpha = weight.contiguous(), alpha.contiguous()
        running_mean, running_var = statistics
        maps = launches.empty(plan.num_features * num_pixels)
        if training:
            norms = Norms(maps, torch.empty_like(running_mean), torch.empty_like(running_var))
            moments = launches.empty(2 * launches.tiling.num_blocks * plan.num_features)
        else:
            norms = Norms(maps, running_mean.clone(), torch.rsqrt(running_var + EPS))
            moments = None

        launches.state_maps(weight, norms, moments)
        if moments is not None:
            launches.pool_moments(moments)
            columns = ColumnRange(0, plan.num_features, *plan.second_features)
            launches.statistics(moments, norms, statistics, columns, momentum)
        launches.second_maps(weight, norms, moments)
        if moments is not None:
            first, length = plan.second_features
            columns = ColumnRange(first, first + length)
            launches.statistics(moments, norms, statistics, columns, momentum)
        launches.mix(norms, alpha, out)
        return (norms.mean, norms.rstd, maps) if keep else (norms.mean, norms.rstd)

    def backward(
        self,
        layout: SourceLayout,
        weight: Tensor,
        state: Tensor,
        alpha: Tensor,
        saved: tuple[Tensor, ...],
        grad_out: Tensor,
        grad_state: Tensor,
        *,
        size: Size,
        training: bool,
        grad_weight: Tensor | None,
        grad_alpha: Tensor | None,
    ) -> None:
        """Add the gradient of the state, and write those of weight and alpha.

        Args:
            layout: Where everything lies in the flat tensors.
            weight: The weights that `forward` had, flat, in the order of `layout.weights`.
            state: The state that `forward` had, packed, (K, N, H, W, C).
            alpha: The normalised alpha that `forward` had, (T, num_operations).
            saved: What `forward` returned.
            grad_out: Gradient of `out`, packed, (T, K, N, H, W, C), contiguous.
            grad_state: Packed, (K, N, H, W, C), contiguous; added to in place.
            size: (N, C, H, W).
            training: Whether `forward` used the batch's statistics, which then have a gradient.
            grad_weight: Written, like `weight`; None if it is not wanted.
            grad_alpha: Written, (T, num_operations), contiguous; None if it is not wanted.
        """
        launches = self._launches(layout, state, size)
        plan, num_pixels = launches.plan, launches.shape[0]
        weight, alpha = weight.contiguous(), alpha.contiguous()
        mean, rstd, *kept = saved
        maps = kept[0] if kept else launches.empty(plan.num_features * num_pixels)
        norms = Norms(maps, mean, rstd)
        if not kept:
            launches.state_maps(weight, norms, None)
            launches.second_maps(weight, norms, None)

        sums = launches.empty(2, plan.num_sums)
        upstream = Upstream(
            grad_out=grad_out,
            grad_inputs=launches.empty(plan.num_features * num_pixels),
            alpha=alpha,
            sum_grad=sums[0],
            sum_product=sums[1],
            num_columns=alpha.shape[1],
        )
        partial = launches.empty(2 * launches.tiling.num_blocks * plan.num_sums)
        launches.mix_sums(norms, grad_out, partial)
        columns = ColumnRange(0, plan.num_sums, *plan.first_features)
        launches.gradient_sums(partial, sums, columns)
        if grad_alpha is not None:
            launches.alpha_gradient(upstream, grad_alpha)

        parts = None
        if grad_weight is not None:
            parts = launches.empty(launches.num_weight_parts * plan.num_weights)
        for is_second in (True, False):
            launches.separable_gradients(
                weight, norms, upstream, parts, partial, is_second=is_second, training=training
            )
            if is_second and training:
                first, length = plan.first_features
                launches.gradient_sums(partial, sums, ColumnRange(first, first + length))
        launches.atrous_gradients(weight, norms, upstream, parts, training=training)
        if grad_weight is not None and parts is not None:
            launches.weight_gradient(parts, grad_weight)
        launches.state_gradient(norms, upstream, grad_state, training=training)

    def _launches(self, layout: SourceLayout, state: Tensor, size: Size) -> Launches:
        key = layout, state.device
        if key not in self._plans:
            self._plans[key] = SourcePlan(layout, state.device)
        num_images, _, height, width = size
        num_pixels = num_images * height * width
        tiling = Tiling.for_plan(
            self._plans[key],
            num_pixels,
            block_elements=self.block_elements,
            num_programs=self.num_programs,
        )
        return Launches(
            self._plans[key],
            tiling,
            (num_pixels, height, width),
            state,
            precision="tf32" if self.allow_tf32 else "ieee",
            num_warps=self.num_warps,
        )
