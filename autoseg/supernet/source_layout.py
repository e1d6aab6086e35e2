"""Where each weight and each batch norm feature of a source operation lies in its flat tensors.

All weights of a source operation are one flat parameter, and the running statistics of all its
batch norms two flat buffers: thousands of tensors fewer for optimizers, checkpoints and autograd.
Every back end reads this layout.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from torch import Tensor

from autoseg.architecture.operations import FAMILIES, OPERATIONS, Family, Operation, operations_of


class Block(NamedTuple):
    """A named part of a flat tensor."""

    offset: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def view(self, flat: Tensor) -> Tensor:
        """Return the part as a view of the flat tensor."""
        return flat[self.offset : self.offset + self.size].view(self.shape)


@dataclass(frozen=True)
class SourceLayout:
    """The shape of a source operation, and from it the order of its weights and features.

    Separable and dilated convolutions of kernel sizes s1 < s2 < ... are M stacked operations.
    Families and their stages are in the order of the table of operations.
    """

    operations: tuple[str, ...]
    """Names in the order of alpha's columns."""
    channels: int
    """C of the state."""
    num_targets: int
    """T, the nodes after the state."""
    num_inputs: int
    """K, the input cells that the state was computed for."""

    def present(self, family: Family) -> tuple[Operation, ...]:
        """Return the operations of a family that are present, smallest kernel first."""
        return tuple(each for each in operations_of(family) if each.name in self.operations)

    def kernel_sizes(self, family: Family) -> tuple[int, ...]:
        """Return the kernel sizes of a family's operations that are present."""
        return tuple(operation.kernel_size for operation in self.present(family))

    def number(self, name: str) -> int:
        """Return the place of an operation among those of its family that are present."""
        family = OPERATIONS[name].family
        assert family is not None
        return self.present(family).index(OPERATIONS[name])

    def columns(self, operations: Sequence[Operation]) -> list[int]:
        """Return alpha's columns of operations."""
        return [self.operations.index(operation.name) for operation in operations]

    @cached_property
    def pools(self) -> tuple[Operation, ...]:
        """The pooling operations that are present."""
        return self._present_of_kind("pool")

    @cached_property
    def parameter_free(self) -> tuple[Operation, ...]:
        """The operations without weights that are present, "none" left out."""
        return self._present_of_kind("identity") + self.pools

    def _present_of_kind(self, kind: str) -> tuple[Operation, ...]:
        families = [family for family in FAMILIES if family.kind == kind]
        return tuple(operation for family in families for operation in self.present(family))

    def _stages(self, kind: str) -> list[tuple[str, tuple[int, ...]]]:
        """List the stages of the families of a kind, each with the kernel sizes present."""
        return [
            (stage, sizes)
            for family in FAMILIES
            if family.kind == kind and (sizes := self.kernel_sizes(family))
            for stage in family.stages
        ]

    @cached_property
    def weights(self) -> dict[str, Block]:
        """Return the blocks of the flat weight, in their order.

        For each stage "sep1", "sep2" (the two halves of the separable convolutions) and "dil":
        "STAGE.depthwise3" (T, C, 3, 3), "STAGE.depthwise5" (T, C, 5, 5) and "STAGE.pointwise"
        (M, T, C_out, C_in). Then "atrous3" (T, C_out, C_in, 3, 3) and "atrous5".
        """
        targets, channels = self.num_targets, self.channels
        shapes: dict[str, tuple[int, ...]] = {}
        for stage, sizes in self._stages("separable"):
            for size in sizes:
                shapes[f"{stage}.depthwise{size}"] = (targets, channels, size, size)
            shapes[f"{stage}.pointwise"] = (len(sizes), targets, channels, channels)
        for stage, sizes in self._stages("full"):
            for size in sizes:
                shapes[f"{stage}{size}"] = (targets, channels, channels, size, size)
        return _blocks(shapes)

    @cached_property
    def features(self) -> dict[str, Block]:
        """Return the blocks of the flat running statistics, in their order.

        "max_pool_3x3" (K, C), "avg_pool_3x3" (K, C), then "sep1", "sep2", "dil" (K, M, T, C),
        "atrous3" and "atrous5" (K, T, C): statistics apart for each input cell, operation, target.
        """
        inputs, targets, channels = self.num_inputs, self.num_targets, self.channels
        shapes: dict[str, tuple[int, ...]] = {pool.name: (inputs, channels) for pool in self.pools}
        for stage, sizes in self._stages("separable"):
            shapes[stage] = (inputs, len(sizes), targets, channels)
        for stage, sizes in self._stages("full"):
            shapes |= {f"{stage}{size}": (inputs, targets, channels) for size in sizes}
        return _blocks(shapes)


def num_elements(blocks: dict[str, Block]) -> int:
    """Return the length of the flat tensor that the blocks fill."""
    return sum(block.size for block in blocks.values())


def _blocks(shapes: dict[str, tuple[int, ...]]) -> dict[str, Block]:
    blocks, offset = {}, 0
    for name, shape in shapes.items():
        blocks[name] = Block(offset, shape)
        offset += blocks[name].size
    return blocks
