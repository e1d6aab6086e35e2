"""The supernet's cell: the same computation for every layer and stride."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from autoseg.ops import resize
from autoseg.supernet.batch_norm import RunningStatistics, batch_norm
from autoseg.supernet.fused_cell import FusedCell, SourceKernels
from autoseg.supernet.partial_channels import PartialChannels
from autoseg.supernet.per_edge import registered
from autoseg.supernet.recompute import recomputed
from autoseg.supernet.source_op import SourceOp


class CellOutput(NamedTuple):
    """Output of a cell, and its ReLU, which up to three later cells read."""

    features: Tensor
    activated: Tensor | None
    """None where memory counts more than time: each reader then applies the ReLU itself."""

    @classmethod
    def from_features(cls, features: Tensor, *, recompute: bool) -> Self:
        """Apply the ReLU to (N, C, H, W), or leave it to the readers."""
        return cls(features, None if recompute else features.relu())


class InputCell(nn.Module):
    """Bring the output of another cell to this cell's stride and width.

    From the same stride: ReLU, 1x1 convolution. From the finer stride: ReLU, 3x3 convolution of
    stride 2 (the paper gives the stride, not the kernel). From the coarser stride: bilinear
    resizing to this cell's exact size, ReLU, 1x1 convolution. Batch norm without affine parameters
    after each.

    Source: Auto-DeepLab, arXiv 1901.02985, section 5.1.
    """

    def __init__(self, in_channels: int, out_channels: int, *, is_finer: bool) -> None:
        super().__init__()
        kernel, stride, padding = (3, 2, 1) if is_finer else (1, 1, 0)
        self.is_finer = is_finer
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False)
        self.statistics = RunningStatistics(out_channels)

    def forward(self, cell: CellOutput, size: Sequence[int]) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, *size)."""
        if not self.is_finer and cell.features.shape[2:] != torch.Size(size):
            activated = resize(cell.features, size, align_corners=True).relu()
        elif cell.activated is None:
            activated = cell.features.relu()
        else:
            activated = cell.activated
        return batch_norm(
            self.conv(activated),
            self.statistics.mean,
            self.statistics.var,
            training=self.training,
            momentum=self.statistics.momentum,
        )


class SearchCell(nn.Module):
    """Cell(H_prev, H_prev_prev; alpha) for all input cells of one (layer, stride) at once.

    The paper evaluates the cell once for each of up to three incoming strides, with the same
    weights. Here these K evaluations are one batch. States computed from the previous-previous
    cell alone do not differ between them and are evaluated once.

    Source: Auto-DeepLab, arXiv 1901.02985, equations 1 to 5.
    """

    def __init__(
        self,
        channels: int,
        *,
        num_nodes: int,
        operations: Sequence[str],
        previous_channels: Sequence[tuple[int, bool]],
        previous_previous_channels: int | None,
        partial_channels: int = 1,
    ) -> None:
        """Build the cell.

        Args:
            channels: Width of a node.
            num_nodes: B.
            operations: Names in the order of alpha's columns.
            previous_channels: For each of the K input cells its channels, and whether it is at the
                finer stride.
            previous_previous_channels: Channels of the cell of the same stride two layers before;
                None where no such cell exists, and its edges are then absent.
            partial_channels: One of so many channels of a state goes through the operations.
        """
        super().__init__()
        self.num_nodes = num_nodes
        self.partial_channels = partial_channels
        self.is_per_edge = len(registered(operations)) > 0
        """Whether there are operations that only plain modules evaluate."""
        self.is_whole = not self.is_per_edge and partial_channels == 1
        """Whether fused kernels evaluate it as one function; otherwise it is state by state."""
        num_inputs = len(previous_channels)
        self.previous = nn.ModuleList(
            InputCell(width, channels, is_finer=is_finer) for width, is_finer in previous_channels
        )
        self.previous_previous = (
            None
            if previous_previous_channels is None
            else InputCell(previous_previous_channels, channels, is_finer=False)
        )

        def source(num_targets: int, num_inputs: int) -> SourceOp:
            return SourceOp(
                channels // partial_channels,
                num_targets=num_targets,
                num_inputs=num_inputs,
                operations=operations,
            )

        self.source0 = None if self.previous_previous is None else source(num_nodes, 1)
        # State 1 and every node but the last: node b feeds the num_nodes - 1 - b nodes after it.
        self.sources = nn.ModuleList(
            source(num_targets, num_inputs)
            for num_targets in (num_nodes, *range(num_nodes - 1, 0, -1))
        )

    def forward(
        self,
        previous: Sequence[CellOutput],
        previous_previous: CellOutput | None,
        alpha: Tensor,
        beta: Tensor,
        size: Sequence[int],
        kernels: SourceKernels | None,
        recompute: bool = False,
    ) -> Tensor:
        """Evaluate the cell and sum over its input cells.

        Args:
            previous: Outputs of the K input cells of the layer before, (N, channels_k, H_k, W_k).
            previous_previous: Output of the cell of this stride two layers before, or None.
            alpha: Weights of the edges, those that leave state 0 first, then those of state 1, ...,
                (edges, num_operations).
            beta: Weight of each input cell, (K,).
            size: Height and width of this stride.
            kernels: What evaluates the source operations; None for plain operators.
            recompute: With a fused back end, keep only the nodes for the backward pass and
                evaluate there again what lies between.

        Returns:
            (N, num_nodes * channels, *size).
        """

        def bring(cell: nn.Module, output: CellOutput) -> Tensor:
            return recomputed(cell, output, size) if recompute else cell(output, size)

        inputs = [bring(cell, h) for cell, h in zip(self.previous, previous, strict=True)]
        state = torch.stack(inputs, dim=1)  # (N, K, C, H, W)
        shared = None
        if self.previous_previous is not None:
            assert previous_previous is not None
            shared = bring(self.previous_previous, previous_previous).unsqueeze(1)
        else:
            alpha = alpha[self.num_nodes :]  # no state 0: its edges are absent
        if kernels is None or not self.is_whole:
            return self._evaluate(state, shared, alpha, beta, kernels)
        sources = self._all_sources()
        fused = FusedCell(
            kernels=kernels,
            layouts=tuple(source.layout for source in sources),
            num_nodes=self.num_nodes,
            training=self.training,
            momentum=sources[0].statistics.momentum,
            keep=torch.is_grad_enabled() and not recompute,
        )
        return fused(
            state.to(alpha.dtype),  # under autocast they come in half precision
            None if shared is None else shared.to(alpha.dtype),
            alpha,
            beta,
            [source.flat_weight(alpha) for source in sources],
            [(source.statistics.mean, source.statistics.var) for source in sources],
        )

    def _all_sources(self) -> list[SourceOp]:
        """List the source operations in the order of the states."""
        first = [] if self.source0 is None else [self.source0]
        return [source for source in (*first, *self.sources) if isinstance(source, SourceOp)]

    def _evaluate(
        self,
        state: Tensor,
        shared: Tensor | None,
        alpha: Tensor,
        beta: Tensor,
        kernels: SourceKernels | None,
    ) -> Tensor:
        """Evaluate the source operations state by state."""
        alphas = iter(alpha.split([source.layout.num_targets for source in self._all_sources()]))
        parts = PartialChannels(self.partial_channels)
        nodes: list[Tensor] = []
        # Sums of the contributions to the nodes that are not complete yet, (N, K, nodes, C, H, W).
        pending: Tensor | None = None
        if self.source0 is not None:
            # (N, 1, B, C, H, W), added to every k
            assert shared is not None
            weights = next(alphas)
            pending = self.source0(parts.split(shared, weights), weights, kernels)
        for source, weights in zip(self.sources, alphas, strict=True):
            contribution = source(parts.split(state, weights), weights, kernels)
            total = contribution if pending is None else contribution + pending
            # The first pending node has all its inputs now.
            node, pending = total.split([1, total.shape[2] - 1], dim=2)
            state = parts.join(node.squeeze(2))
            nodes.append(state)
        # Equation 5 is linear in the input cells: sum each node over them, then concatenate.
        mixed = [torch.matmul(beta, node.flatten(2)).view(node[:, 0].shape) for node in nodes]
        return torch.cat(mixed, dim=1)
