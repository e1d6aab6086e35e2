"""The supernet's cell: the same computation for every layer and stride."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from autoseg.ops import resize
from autoseg.supernet.batch_norm import StackedBatchNorm
from autoseg.supernet.source_op import SourceOp


class CellOutput(NamedTuple):
    """Output of a cell, and its ReLU, which up to three later cells read."""

    features: Tensor
    activated: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Self:
        """Apply the ReLU to (N, C, H, W)."""
        return cls(features, features.relu())


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
        self.norm = StackedBatchNorm(out_channels)

    def forward(self, cell: CellOutput, size: Sequence[int]) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, *size)."""
        if self.is_finer or cell.features.shape[2:] == torch.Size(size):
            return self.norm(self.conv(cell.activated))
        return self.norm(self.conv(resize(cell.features, size, align_corners=True).relu()))


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
        """
        super().__init__()
        self.num_nodes = num_nodes
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
                channels, num_targets=num_targets, num_inputs=num_inputs, operations=operations
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
        alpha: Sequence[Tensor],
        beta: Tensor,
        size: Sequence[int],
    ) -> Tensor:
        """Evaluate the cell and sum over its input cells.

        Args:
            previous: Outputs of the K input cells of the layer before, (N, channels_k, H_k, W_k).
            previous_previous: Output of the cell of this stride two layers before, or None.
            alpha: For each state its edges' weights, (targets, num_operations).
            beta: Weight of each input cell, (K,).
            size: Height and width of this stride.

        Returns:
            (N, num_nodes * channels, *size).
        """
        inputs = [cell(h, size) for cell, h in zip(self.previous, previous, strict=True)]
        state = torch.stack(inputs, dim=1)  # (N, K, C, H, W)
        nodes: list[Tensor] = []
        # Sums of the contributions to the nodes that are not complete yet, (N, K, nodes, C, H, W).
        pending: Tensor | None = None
        if self.previous_previous is not None and self.source0 is not None:
            assert previous_previous is not None
            shared = self.previous_previous(previous_previous, size).unsqueeze(1)
            pending = self.source0(shared, alpha[0])  # (N, 1, B, C, H, W), added to every k
        for source, weights in zip(self.sources, alpha[1:], strict=True):
            contribution = source(state, weights)
            total = contribution if pending is None else contribution + pending
            # The first pending node has all its inputs now.
            node, pending = total.split([1, total.shape[2] - 1], dim=2)
            state = node.squeeze(2)
            nodes.append(state)
        # Equation 5 is linear in the input cells: sum each node over them, then concatenate.
        mixed = [torch.matmul(beta, node.flatten(2)).view(node[:, 0].shape) for node in nodes]
        return torch.cat(mixed, dim=1)
