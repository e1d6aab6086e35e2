"""The cell of a derived network.

Source: Auto-DeepLab, arXiv 1901.02985, section 5.2, with the conventions of the authors' TensorFlow
network where the paper is silent.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autoseg.architecture import CellEdge
from autoseg.networks.drop_path import DropPath
from autoseg.ops import build_operation, conv_bn, resize


class CellInput(nn.Sequential):
    """ReLU, 1x1 convolution, batch norm.

    The TensorFlow network leaves it out where the widths agree already, which they never do at the
    paper's filter multipliers; here it is always there.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(nn.ReLU(), *conv_bn(in_channels, channels))


class DerivedEdge(nn.Module):
    """One decoded edge: an operation on one state."""

    def __init__(self, edge: CellEdge, channels: int, *, stride: int) -> None:
        super().__init__()
        self.source = edge.source
        # Blocks inside the cell are at its own stride already.
        self.op = build_operation(edge.op, channels, stride if edge.source < 2 else 1)
        is_identity = isinstance(self.op, nn.Identity)
        self.drop = nn.Identity() if is_identity else DropPath()

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """Apply the operation to the edge's source among `states`."""
        return self.drop(self.op(states[self.source]))


class DerivedNode(nn.Module):
    """A node: the sum of its edges."""

    def __init__(self, edges: Sequence[CellEdge], channels: int, *, stride: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(DerivedEdge(edge, channels, stride=stride) for edge in edges)

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """Sum the edges' operations on `states`."""
        first, second = (edge(states) for edge in self.edges)
        return first + second


class DerivedCell(nn.Module):
    """A cell of two edges a node, at one stride.

    Upsampling cells resize both inputs to their own stride first; downsampling cells keep them at
    the finer stride, and the operations that read them halve it.
    """

    def __init__(
        self,
        cell: Sequence[Sequence[CellEdge]],
        channels: int,
        *,
        previous_previous_channels: int,
        previous_channels: int,
        stride: int,
    ) -> None:
        """Build the cell.

        Args:
            cell: For each node its edges.
            channels: Width of a node.
            previous_previous_channels: Channels of state 0.
            previous_channels: Channels of state 1.
            stride: 2 in a downsampling cell, otherwise 1.
        """
        super().__init__()
        self.previous_previous = CellInput(previous_previous_channels, channels)
        self.previous = CellInput(previous_channels, channels)
        self.nodes = nn.ModuleList(DerivedNode(edges, channels, stride=stride) for edges in cell)

    def forward(self, previous_previous: Tensor, previous: Tensor, size: Sequence[int]) -> Tensor:
        """Evaluate the cell.

        Args:
            previous_previous: Output of the cell before the previous one, any size.
            previous: Output of the previous cell, (N, C, H, W).
            size: The size at which the inputs are read: that of `previous`, or in an upsampling
                cell that of this cell's stride.

        Returns:
            (N, num_nodes * channels, *size), halved (rounded up) in a downsampling cell.
        """
        states = [
            self.previous_previous(resize(previous_previous, size, align_corners=True)),
            self.previous(resize(previous, size, align_corners=True)),
        ]
        for node in self.nodes:
            states.append(node(states))
        return torch.cat(states[2:], dim=1)
