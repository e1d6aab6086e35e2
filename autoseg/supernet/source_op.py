"""The source operation: everything that one state of a cell sends to the nodes after it.

Equations 2 and 3 of Auto-DeepLab sum, for each edge, all candidate operations weighted by alpha.
Evaluated edge by edge that is some 16,000 small operations a forward pass. Edges that leave the
same state share its input, and the input cells of a node share its weights, so all of them are
evaluated in a handful of calls, with the same result.

This is the back end of plain operators, for every device. The compiled ones do the same from the
same weights: `autoseg.supernet.fused_cell`. Registered operations, which are of no family, are
evaluated edge by edge beside either of them: `autoseg.supernet.per_edge`.

Tensors are (N, K, T, C, H, W): K input cells, T target nodes, C channels. Contiguous, that is at
once a batch of N * K maps (convolutions share weights over K) and K * T * C channels (batch norm
keeps statistics apart). Where several operations of a family are stacked, T is M * T.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.architecture import FAMILIES, Family, Operation
from autoseg.architecture.operations import MAX_POOL, SKIP
from autoseg.supernet.batch_norm import RunningStatistics, batch_norm
from autoseg.supernet.depthwise import depthwise_conv2d
from autoseg.supernet.fused_cell import SourceKernels
from autoseg.supernet.fused_source import FusedSource
from autoseg.supernet.indices import index_on
from autoseg.supernet.per_edge import PerEdge, registered
from autoseg.supernet.source_layout import SourceLayout, num_elements

_PARAMETER_FREE = "parameter_free"


class SourceOp(nn.Module):
    """Contributions of one state to all later nodes, over all candidate operations.

    Source: Auto-DeepLab, arXiv 1901.02985, equations 1 to 3.
    """

    weight: nn.Parameter | None
    """All weights, flat, in the order of `layout.weights`; None where no operation has any."""

    def __init__(
        self, channels: int, *, num_targets: int, num_inputs: int, operations: Sequence[str]
    ) -> None:
        """Build the parameters.

        Args:
            channels: C of the state.
            num_targets: T, the nodes after the state.
            num_inputs: K, the input cells that the state was computed for.
            operations: Names in the order of alpha's columns.
        """
        super().__init__()
        self.layout = SourceLayout(tuple(operations), channels, num_targets, num_inputs)
        blocks = self.layout.weights
        weight = torch.empty(num_elements(blocks))
        for name, block in blocks.items():
            # As torch initialises a convolution: uniform within 1 / sqrt(fan-in). A depthwise
            # kernel reads one channel; others have their inputs in the dimension before the taps.
            if "depthwise" in name:
                fan_in = math.prod(block.shape[2:])
            elif "pointwise" in name:
                fan_in = channels
            else:
                fan_in = channels * math.prod(block.shape[3:])
            block.view(weight).uniform_(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
        if blocks:
            self.weight = nn.Parameter(weight)
        else:
            self.register_parameter("weight", None)
        self.statistics = RunningStatistics(num_elements(self.layout.features))
        self._columns = {_PARAMETER_FREE: self.layout.columns(self.layout.parameter_free)} | {
            family.name: self.layout.columns(self.layout.present(family))
            for family in FAMILIES
            if family.stages
        }
        self._has_families = any(self.layout.present(family) for family in FAMILIES)
        self.per_edge = (
            PerEdge(operations, channels, num_targets=num_targets, num_inputs=num_inputs)
            if registered(operations)
            else None
        )

    def forward(self, state: Tensor, alpha: Tensor, kernels: SourceKernels | None = None) -> Tensor:
        """Sum the weighted operations of every edge that leaves the state.

        Args:
            state: (N, K, C, H, W).
            alpha: Weight of each operation on the edges to the T targets, (T, num_operations).
            kernels: What evaluates the operations of the table's families; None: plain operators.

        Returns:
            (N, K, T, C, H, W).
        """
        contribution = (
            self._evaluate(state, alpha)
            if kernels is None or not self._has_families
            else self._evaluate_fused(state, alpha, kernels)
        )
        if self.per_edge is None:
            return contribution
        return contribution + self.per_edge(state, alpha)

    def flat_weight(self, like: Tensor) -> Tensor:
        """Return the flat weight, an empty one where no operation has any."""
        return like.new_empty(0) if self.weight is None else self.weight

    def _evaluate_fused(self, state: Tensor, alpha: Tensor, kernels: SourceKernels) -> Tensor:
        source = FusedSource(
            kernels=kernels,
            layout=self.layout,
            training=self.training,
            momentum=self.statistics.momentum,
            keep=torch.is_grad_enabled(),
        )
        return source(
            state.to(alpha.dtype),  # under autocast it comes in half precision
            alpha,
            self.flat_weight(alpha),
            (self.statistics.mean, self.statistics.var),
        )

    def _evaluate(self, state: Tensor, alpha: Tensor) -> Tensor:
        """Evaluate the operations of the table's families by plain operators."""
        weights = self.weight_blocks()
        alphas = self._alphas(alpha)
        contribution = self._parameter_free(state, alphas[_PARAMETER_FREE])
        activated = state.relu()
        for family in FAMILIES:
            sizes = self.layout.kernel_sizes(family)
            if family.kind == "separable" and sizes:
                maps = self._separable_stages(activated, weights, family, alphas[family.name])
                contribution = contribution + self._sum_operations(maps)
            elif family.kind == "full":
                for i, size in enumerate(sizes):
                    name = f"{family.stages[0]}{size}"
                    maps = self._full(activated, weights[name], dilation=family.rate)
                    scale = alphas[family.name][:, i : i + 1]
                    contribution = contribution + self._norm(maps, name, scale)
        return contribution

    def _alphas(self, alpha: Tensor) -> dict[str, Tensor]:
        """Group alpha's columns by what is evaluated together, in one gather."""
        columns = self._columns
        order = [column for group in columns.values() for column in group]
        gathered = alpha.index_select(1, index_on(alpha.device, order))
        parts = gathered.split([len(group) for group in columns.values()], dim=1)
        return dict(zip(columns, parts, strict=True))

    def weight_blocks(self) -> dict[str, Tensor]:
        """Cut the flat weight into its blocks: one call, and one in the backward pass."""
        if self.weight is None:
            return {}
        blocks = self.layout.weights
        parts = self.weight.split([block.size for block in blocks.values()])
        return {
            name: part.view(block.shape)
            for (name, block), part in zip(blocks.items(), parts, strict=True)
        }

    def _norm(self, maps: Tensor, name: str, alpha: Tensor | None = None) -> Tensor:
        """Normalise the feature block `name`; scale it by the operations' alpha, (T, M)."""
        scale = None
        if alpha is not None:
            num_inputs, channels = self.layout.num_inputs, self.layout.channels
            scale = alpha.t()[None, :, :, None].expand(num_inputs, -1, -1, channels).reshape(-1)
        block = self.layout.features[name]
        return batch_norm(
            maps,
            block.view(self.statistics.mean).view(-1),
            block.view(self.statistics.var).view(-1),
            training=self.training,
            momentum=self.statistics.momentum,
            scale=scale,
        )

    def _separable_stages(
        self, activated: Tensor, weights: dict[str, Tensor], family: Family, scale: Tensor
    ) -> Tensor:
        """Evaluate all stages of a family, scaled at the end: (N, K, M * T, C, H, W)."""
        sizes, maps = self.layout.kernel_sizes(family), activated
        for stage in family.stages:
            is_first, is_last = stage == family.stages[0], stage == family.stages[-1]
            maps = self._separable(
                maps if is_first else maps.relu(),
                weights,
                stage,
                sizes,
                dilation=family.rate,
                scale=scale if is_last else None,
            )
        return maps

    def _separable(
        self,
        activated: Tensor,
        weights: dict[str, Tensor],
        stage: str,
        sizes: Sequence[int],
        *,
        dilation: int = 1,
        scale: Tensor | None = None,
    ) -> Tensor:
        """Depthwise and pointwise convolution, then batch norm, of M operations to T targets.

        The kernels of all operations are embedded, centred in zeros, into the largest one, so that
        one call evaluates them.

        Args:
            activated: After the ReLU. (N, K, C, H, W), read by every operation and target; or
                (N, K, M * T, C, H, W), one map each.
            weights: Blocks of the flat weight.
            stage: Name of the blocks.
            sizes: Kernel sizes of the M operations.
            dilation: Dilation of the depthwise convolutions.
            scale: The operations' alpha, (T, M), or None.

        Returns:
            (N, K, M * T, C, H, W).
        """
        num_images, num_inputs, height, width = *activated.shape[:2], *activated.shape[-2:]
        channels, largest = self.layout.channels, max(sizes)
        kernels = torch.cat(
            [
                F.pad(weights[f"{stage}.depthwise{size}"], ((largest - size) // 2,) * 4)
                for size in sizes
            ]
        )  # (M * T, C, k, k)
        is_shared = activated.dim() == 5
        if is_shared:
            # One input channel feeds M * T outputs: channel-major kernels, (C * M * T, 1, k, k).
            kernels = kernels.transpose(0, 1)
        convolve = F.conv2d if is_shared else depthwise_conv2d
        maps = convolve(
            activated.reshape(num_images * num_inputs, -1, height, width),
            kernels.reshape(-1, 1, largest, largest),
            padding=dilation * (largest - 1) // 2,
            dilation=dilation,
            groups=activated.shape[2] * (1 if is_shared else channels),
        )
        if is_shared:
            # (N * K, C, M * T, H * W) -> (N * K, M * T, C, H * W)
            maps = maps.view(maps.shape[0], channels, -1, height * width).transpose(1, 2)
        else:
            maps = maps.view(maps.shape[0], -1, channels, height * width)
        maps = torch.matmul(weights[f"{stage}.pointwise"].flatten(0, 1), maps)
        maps = maps.view(num_images, num_inputs, -1, channels, height, width)
        return self._norm(maps, stage, scale)

    def _full(self, activated: Tensor, weight: Tensor, *, dilation: int) -> Tensor:
        """Convolve (N, K, C, H, W) fully for each target, to (N, K, T, C, H, W)."""
        num_images, num_inputs, channels = activated.shape[:3]
        maps = F.conv2d(
            activated.flatten(0, 1),
            weight.flatten(0, 1),
            padding=dilation * (weight.shape[-1] - 1) // 2,
            dilation=dilation,
        )
        return maps.view(num_images, num_inputs, -1, channels, *maps.shape[2:])

    def _parameter_free(self, state: Tensor, alpha: Tensor) -> Tensor:
        """Evaluate skip and pooling once, and mix them into every target by one product."""
        num_images, num_inputs, channels, height, width = state.shape
        shape = (num_images, num_inputs, alpha.shape[0], channels, height, width)
        # torch pools maps whose channels lie together faster on the CPU.
        flat = state.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        maps = []
        for operation in self.layout.parameter_free:
            if operation.family == SKIP:
                maps.append(state)
                continue
            pooled = pool(flat, operation).contiguous().view(state.shape)
            maps.append(self._norm(pooled, operation.name))
        if not maps:
            return state.new_zeros(shape)
        stacked = torch.stack(maps, dim=2)  # (N, K, P, C, H, W)
        return torch.matmul(alpha, stacked.flatten(3).flatten(0, 1)).view(shape)

    def _sum_operations(self, maps: Tensor) -> Tensor:
        """(N, K, M * T, C, H, W) -> (N, K, T, C, H, W)."""
        return maps.unflatten(2, (-1, self.layout.num_targets)).sum(dim=2)


def pool(maps: Tensor, operation: Operation) -> Tensor:
    """Take each window's maximum, or its mean over the pixels that are in the map.

    Args:
        maps: (N, C, H, W).
        operation: One of a pooling family.

    Returns:
        (N, C, H, W).
    """
    size, padding = operation.kernel_size, operation.kernel_size // 2
    if operation.family == MAX_POOL:
        return F.max_pool2d(maps, size, stride=1, padding=padding)
    return F.avg_pool2d(maps, size, stride=1, padding=padding, count_include_pad=False)
