"""The fixed backbone of a cell space: where each cell stands, and how it reads the two before it.

Source: DARTS, arXiv 1806.09055, sections 2.1 and A.1.2, with the authors' code.
"""

from typing import NamedTuple

from torch import Tensor, nn

from autoseg.ops.blocks import conv_bn
from autoseg.ops.darts_operations import FactorizedReduce


class StemShape(NamedTuple):
    """What a stem hands to the first cell."""

    previous_previous_channels: int
    previous_channels: int
    halves: bool
    """Whether the former map has twice the height and width of the latter."""


class CellPlace(NamedTuple):
    """Where a cell stands in the stack."""

    is_reduction: bool
    """Whether it doubles stride and channels."""
    channels: int
    """Channels of a node."""
    previous_previous_channels: int
    previous_channels: int
    is_after_reduction: bool
    """Whether the map from two cells before has twice the height and width of the previous one."""

    @property
    def edge_strides(self) -> tuple[int, int]:
        """Stride of an edge that leaves one of the two earlier cells, and of one from a node."""
        return (2 if self.is_reduction else 1), 1


def reduction_cells(num_cells: int) -> tuple[int, int]:
    """Return the numbers, from 0, of the two cells that reduce: at a third and at two thirds."""
    return num_cells // 3, 2 * num_cells // 3


def cell_places(
    num_cells: int, channels: int, *, num_nodes: int, stem: StemShape
) -> list[CellPlace]:
    """List the cells in their order.

    Args:
        num_cells: L, at least 3.
        channels: Channels of a node in the first cell.
        num_nodes: Nodes of a cell, whose maps are concatenated.
        stem: What the first cell reads.
    """
    places = []
    two_before, before, is_after_reduction = stem
    for number in range(num_cells):
        is_reduction = number in reduction_cells(num_cells)
        channels *= 2 if is_reduction else 1
        places.append(CellPlace(is_reduction, channels, two_before, before, is_after_reduction))
        two_before, before = before, num_nodes * channels
        is_after_reduction = is_reduction
    return places


class CellInputs(nn.Module):
    """Bring the outputs of the two earlier cells to a cell's width, and to one size.

    ReLU, 1x1 convolution, batch norm; where the former is larger, `FactorizedReduce`.
    """

    def __init__(self, place: CellPlace) -> None:
        super().__init__()
        self.previous_previous = (
            FactorizedReduce(place.previous_previous_channels, place.channels)
            if place.is_after_reduction
            else _relu_conv_bn(place.previous_previous_channels, place.channels)
        )
        self.previous = _relu_conv_bn(place.previous_channels, place.channels)

    def forward(self, previous_previous: Tensor, previous: Tensor) -> list[Tensor]:
        """Return states 0 and 1, each (N, channels, H, W) with the size of `previous`."""
        return [self.previous_previous(previous_previous), self.previous(previous)]


def _relu_conv_bn(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), *conv_bn(in_channels, channels))
