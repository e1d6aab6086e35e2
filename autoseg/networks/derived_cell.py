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

    def __init__(self, source: int, op: nn.Module) -> None:
        super().__init__()
        self.source = source
        self.op = op
        is_identity = isinstance(self.op, nn.Identity)
        self.drop = nn.Identity() if is_identity else DropPath()

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """Apply the operation to the edge's source among `states`."""
        return self.drop(self.op(states[self.source]))


class DerivedNode(nn.Module):
    """A node: the sum of its edges."""

    def __init__(self, edges: Sequence[DerivedEdge]) -> None:
        super().__init__()
        self.edges = nn.ModuleList(edges)

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
        self, *, previous_previous: CellInput, previous: CellInput, nodes: Sequence[DerivedNode]
    ) -> None:
        """Take the parts; `build_cell` makes them.

        Args:
            previous_previous: Brings state 0 to the width of a node.
            previous: Brings state 1 to it.
            nodes: In their order.
        """
        super().__init__()
        self.previous_previous = previous_previous
        self.previous = previous
        self.nodes = nn.ModuleList(nodes)

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


def build_cell(
    cell: Sequence[Sequence[CellEdge]],
    channels: int,
    *,
    previous_previous_channels: int,
    previous_channels: int,
    stride: int,
) -> DerivedCell:
    """Build a cell with random weights.

    Args:
        cell: For each node its edges.
        channels: Width of a node.
        previous_previous_channels: Channels of state 0.
        previous_channels: Channels of state 1.
        stride: 2 in a downsampling cell, otherwise 1.
    """

    def build_edge(edge: CellEdge) -> DerivedEdge:
        op = build_operation(edge.op, channels, edge_stride(edge.source, stride=stride))
        return DerivedEdge(edge.source, op)

    return DerivedCell(
        previous_previous=CellInput(previous_previous_channels, channels),
        previous=CellInput(previous_channels, channels),
        nodes=[DerivedNode([build_edge(edge) for edge in edges]) for edges in cell],
    )


def edge_stride(source: int, *, stride: int) -> int:
    """Return the stride of an edge's operation in a cell of this stride, 1 or 2.

    Nodes are at the cell's own stride already, so that operations on them keep it.
    """
    return stride if source < 2 else 1
