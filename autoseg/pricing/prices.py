"""What the parts of a space's networks cost, and with it every network."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import Tensor

from autoseg.architecture import NO_OPERATION, Architecture, SearchSpace
from autoseg.architecture.membership import require_of_space

Unit = Literal["MACs", "ns"]
"""What a price is a number of."""


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Prices:
    """What every part of a space's networks costs, for one image: whole numbers of a unit.

    A network costs the sum of its parts: `fixed`, the inputs and operations of each cell, its head
    and the decoder's early map. A layer's cell depends on three strides, its own and those of the
    two layers before; where it lies at a coarser stride than the layer before, operations on its
    inputs halve them. Levels number the strides, finest first.
    """

    space: SearchSpace
    """The space that they belong to."""
    image_size: tuple[int, int]
    """Height and width of the image, in pixels."""
    unit: Unit
    """Multiply-accumulates, or nanoseconds."""
    fixed: int
    """Stem, decoder and classifier, which all networks have."""
    inputs: Tensor
    """What a cell has whatever its operations, the two 1x1 convolutions at its inputs above all:
    int64, (num_layers, levels, levels, levels), by layer, level two layers before, level of the
    layer before, level of the cell. The stem counts as level 0; 0 where no path leads."""
    operations: Tensor
    """An operation: int64, (levels, 2, num_operations), by level of the cell, whether it halves its
    input, operation; "none" costs 0."""
    head: Tensor
    """ASPP behind a last cell at each level: int64, (levels,); 0 where no path ends."""
    low_level: Tensor
    """The decoder's 1x1 convolution on the early map, by its level: int64, (levels,)."""
    low_level_layer: int
    """The layer whose output is that early map."""

    @property
    def candidates(self) -> list[int]:
        """Columns of the operations other than "none"."""
        return [i for i, op in enumerate(self.space.operations) if op != NO_OPERATION]

    def cost(self, architecture: Architecture) -> int:
        """Add up what an architecture costs; in MACs, exactly `count_macs` of its network.

        Raises:
            ValueError: If it is not one of the space.
        """
        require_of_space(architecture, self.space, work="Prices.cost")
        levels = [self.space.strides.index(stride) for stride in architecture.path]
        edges = [edge for node in architecture.cell for edge in node]
        total = self.fixed + int(self.head[levels[-1]])
        total += int(self.low_level[levels[self.low_level_layer]])
        steps = zip(levels, pairwise([0, 0, *levels]), strict=False)
        for layer, (level, (two_before, before)) in enumerate(steps):
            total += int(self.inputs[layer, two_before, before, level])
            for source, op in edges:
                halves = source < 2 and level > before
                index = self.space.operations.index(op)
                total += int(self.operations[level, int(halves), index])
        return total

    def written(self, cost: int) -> str:
        """Write a cost with its unit, nanoseconds as milliseconds."""
        return f"{cost:,} MACs" if self.unit == "MACs" else f"{cost / 1e6:,.2f} ms"
