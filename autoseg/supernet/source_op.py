"""The source operation: everything that one state of a cell sends to the nodes after it.

Equations 2 and 3 of Auto-DeepLab sum, for each edge, all candidate operations weighted by alpha.
Evaluated edge by edge that is some 16,000 small operations a forward pass. Edges that leave the
same state share its input, and the input cells of a node share its weights, so all of them are
evaluated in a handful of calls, with the same result.

Tensors are (N, K, T, C, H, W): K input cells, T target nodes, C channels. Contiguous, that is at
once a batch of N * K maps (convolutions share weights over K) and K * T * C channels (batch norm
keeps statistics apart). Where several operations of a family are stacked, T is M * T.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.supernet.batch_norm import StackedBatchNorm


class StackedSeparable(nn.Module):
    """Depthwise and pointwise convolution, then batch norm, of M operations to T targets.

    The kernels of all operations are embedded, centred in zeros, into the largest one, so that one
    call evaluates them.
    """

    def __init__(
        self,
        channels: int,
        num_targets: int,
        num_inputs: int,
        kernel_sizes: Sequence[int],
        *,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.dilation = dilation
        self.kernel_size = max(kernel_sizes)
        num_stacked = len(kernel_sizes) * num_targets
        self.depthwise = nn.ParameterList(
            conv_parameter(num_targets, channels, 1, size, size) for size in kernel_sizes
        )
        self.pointwise = conv_parameter(num_stacked, channels, channels, 1, 1)
        self.norm = StackedBatchNorm(num_inputs * num_stacked * channels)

    def kernels(self) -> Tensor:
        """Return the depthwise kernels of all operations and targets, (M * T, C, k, k)."""
        padded = []
        for kernel in self.depthwise:
            margin = (self.kernel_size - kernel.shape[-1]) // 2
            padded.append(F.pad(kernel.squeeze(2), (margin,) * 4))
        return torch.cat(padded)

    def forward(self, activated: Tensor, scale: Tensor | None = None) -> Tensor:
        """Convolve and normalise.

        Args:
            activated: After the ReLU. (N, K, C, H, W), read by every operation and target; or
                (N, K, M * T, C, H, W), one map each.
            scale: Weight of each (input cell, operation, target, channel) after batch norm.

        Returns:
            (N, K, M * T, C, H, W).
        """
        num_images, num_inputs, height, width = *activated.shape[:2], *activated.shape[-2:]
        kernels = self.kernels()
        is_shared = activated.dim() == 5
        if is_shared:
            # One input channel feeds M * T outputs: channel-major kernels, (C * M * T, 1, k, k).
            kernels = kernels.transpose(0, 1)
        maps = F.conv2d(
            activated.reshape(num_images * num_inputs, -1, height, width),
            kernels.reshape(-1, 1, self.kernel_size, self.kernel_size),
            padding=self.dilation * (self.kernel_size - 1) // 2,
            dilation=self.dilation,
            groups=activated.shape[2] * (1 if is_shared else self.channels),
        )
        if is_shared:
            # (N * K, C, M * T, H * W) -> (N * K, M * T, C, H * W)
            maps = maps.view(maps.shape[0], self.channels, -1, height * width).transpose(1, 2)
        else:
            maps = maps.view(maps.shape[0], -1, self.channels, height * width)
        maps = torch.matmul(self.pointwise.flatten(2), maps)
        return self.norm(maps.view(num_images, num_inputs, -1, self.channels, height, width), scale)


class StackedAtrous(nn.Module):
    """Full convolution at rate 2, then batch norm, of one operation to T targets."""

    def __init__(self, channels: int, num_targets: int, num_inputs: int, kernel_size: int) -> None:
        super().__init__()
        self.channels = channels
        self.padding = kernel_size - 1
        self.weight = conv_parameter(num_targets, channels, channels, kernel_size, kernel_size)
        self.norm = StackedBatchNorm(num_inputs * num_targets * channels)

    def forward(self, activated: Tensor, scale: Tensor) -> Tensor:
        """Map (N, K, C, H, W), after the ReLU, to (N, K, T, C, H, W)."""
        num_images, num_inputs = activated.shape[:2]
        maps = F.conv2d(
            activated.flatten(0, 1), self.weight.flatten(0, 1), padding=self.padding, dilation=2
        )
        return self.norm(
            maps.view(num_images, num_inputs, -1, self.channels, *maps.shape[2:]), scale
        )


class SourceOp(nn.Module):
    """Contributions of one state to all later nodes, over all candidate operations.

    Source: Auto-DeepLab, arXiv 1901.02985, equations 1 to 3.
    """

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
        self.operations = tuple(operations)

        def present(family: str) -> list[int]:
            sizes = {3: f"{family}_3x3", 5: f"{family}_5x5"}
            return [size for size, name in sizes.items() if name in self.operations]

        shape = (channels, num_targets, num_inputs)
        self.separable_sizes = present("sep_conv")
        self.dilated_sizes = present("dil_conv")
        self.atrous_sizes = present("atrous_conv")
        if self.separable_sizes:
            self.separable1 = StackedSeparable(*shape, self.separable_sizes)
            self.separable2 = StackedSeparable(*shape, self.separable_sizes)
        if self.dilated_sizes:
            self.dilated = StackedSeparable(*shape, self.dilated_sizes, dilation=2)
        self.atrous = nn.ModuleList(StackedAtrous(*shape, size) for size in self.atrous_sizes)
        self.pool_norms = nn.ModuleDict(
            {
                name: StackedBatchNorm(num_inputs * channels)
                for name in ("max_pool_3x3", "avg_pool_3x3")
                if name in self.operations
            }
        )

    def forward(self, state: Tensor, weights: Tensor) -> Tensor:
        """Sum the weighted operations of every edge that leaves the state.

        Args:
            state: (N, K, C, H, W).
            weights: Normalised alpha of the edges to the T targets, (T, num_operations).

        Returns:
            (N, K, T, C, H, W).
        """
        num_inputs, channels = state.shape[1:3]
        num_targets = weights.shape[0]

        def scale(family: str, sizes: Sequence[int]) -> Tensor:
            # The alpha of each (input cell, operation, target, channel).
            columns = [self.operations.index(f"{family}_{size}x{size}") for size in sizes]
            chosen = weights[:, columns].t()
            return chosen[None, :, :, None].expand(num_inputs, -1, -1, channels).reshape(-1)

        contribution = self._parameter_free(state, weights)
        activated = state.relu()
        if self.separable_sizes:
            maps = self.separable2(
                self.separable1(activated).relu(), scale("sep_conv", self.separable_sizes)
            )
            contribution = contribution + _sum_operations(maps, num_targets)
        if self.dilated_sizes:
            maps = self.dilated(activated, scale("dil_conv", self.dilated_sizes))
            contribution = contribution + _sum_operations(maps, num_targets)
        for size, convolution in zip(self.atrous_sizes, self.atrous, strict=True):
            contribution = contribution + convolution(activated, scale("atrous_conv", [size]))
        return contribution

    def _parameter_free(self, state: Tensor, weights: Tensor) -> Tensor:
        """Evaluate skip and pooling once, and mix them into every target by one product."""
        num_images, num_inputs, channels, height, width = state.shape
        maps = {}
        if "skip_connect" in self.operations:
            maps["skip_connect"] = state
        for name, norm in self.pool_norms.items():
            flat = state.flatten(0, 1)
            pooled = (
                F.max_pool2d(flat, 3, stride=1, padding=1)
                if name == "max_pool_3x3"
                else F.avg_pool2d(flat, 3, stride=1, padding=1, count_include_pad=False)
            )
            maps[name] = norm(pooled.view(state.shape))
        shape = (num_images, num_inputs, weights.shape[0], channels, height, width)
        if not maps:
            return state.new_zeros(shape)
        columns = [self.operations.index(name) for name in maps]
        stacked = torch.stack(list(maps.values()), dim=2)  # (N, K, P, C, H, W)
        mixed = torch.matmul(weights[:, columns], stacked.flatten(3).flatten(0, 1))
        return mixed.view(shape)


def _sum_operations(maps: Tensor, num_targets: int) -> Tensor:
    """(N, K, M * T, C, H, W) -> (N, K, T, C, H, W)."""
    return maps.unflatten(2, (-1, num_targets)).sum(dim=2)


def conv_parameter(*shape: int) -> nn.Parameter:
    """Make stacked convolution weights, (stack, out, in / groups, k, k).

    Each is initialised as torch initialises a convolution: uniform within 1 / sqrt(fan-in).
    """
    bound = 1 / math.sqrt(math.prod(shape[2:]))
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
