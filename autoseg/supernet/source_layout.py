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
    """

    operations: tuple[str, ...]
    """Names in the order of alpha's columns."""
    channels: int
    """C of the state."""
    num_targets: int
    """T, the nodes after the state."""
    num_inputs: int
    """K, the input cells that the state was computed for."""

    def kernel_sizes(self, family: str) -> tuple[int, ...]:
        """Return the kernel sizes of "sep_conv", "dil_conv" or "atrous_conv" that are present."""
        return tuple(size for size in (3, 5) if f"{family}_{size}x{size}" in self.operations)

    def columns(self, names: Sequence[str]) -> list[int]:
        """Return alpha's columns of operations."""
        return [self.operations.index(name) for name in names]

    @cached_property
    def pools(self) -> tuple[str, ...]:
        """Names of the pooling operations that are present."""
        return tuple(name for name in ("max_pool_3x3", "avg_pool_3x3") if name in self.operations)

    @cached_property
    def parameter_free(self) -> tuple[str, ...]:
        """Names of the operations without weights that are present, "none" left out."""
        skip = ("skip_connect",) if "skip_connect" in self.operations else ()
        return skip + self.pools

    @cached_property
    def weights(self) -> dict[str, Block]:
        """Return the blocks of the flat weight, in their order.

        For each stage "sep1", "sep2" (the two halves of the separable convolutions) and "dil":
        "STAGE.depthwise3" (T, C, 3, 3), "STAGE.depthwise5" (T, C, 5, 5) and "STAGE.pointwise"
        (M, T, C_out, C_in). Then "atrous3" (T, C_out, C_in, 3, 3) and "atrous5".
        """
        targets, channels = self.num_targets, self.channels
        shapes: dict[str, tuple[int, ...]] = {}
        for stage, family in (("sep1", "sep_conv"), ("sep2", "sep_conv"), ("dil", "dil_conv")):
            sizes = self.kernel_sizes(family)
            for size in sizes:
                shapes[f"{stage}.depthwise{size}"] = (targets, channels, size, size)
            if sizes:
                shapes[f"{stage}.pointwise"] = (len(sizes), targets, channels, channels)
        for size in self.kernel_sizes("atrous_conv"):
            shapes[f"atrous{size}"] = (targets, channels, channels, size, size)
        return _blocks(shapes)

    @cached_property
    def features(self) -> dict[str, Block]:
        """Return the blocks of the flat running statistics, in their order.

        "max_pool_3x3" (K, C), "avg_pool_3x3" (K, C), then "sep1", "sep2", "dil" (K, M, T, C),
        "atrous3" and "atrous5" (K, T, C): statistics apart for each input cell, operation, target.
        """
        inputs, targets, channels = self.num_inputs, self.num_targets, self.channels
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(self.pools, (inputs, channels))
        for stage, family in (("sep1", "sep_conv"), ("sep2", "sep_conv"), ("dil", "dil_conv")):
            if sizes := self.kernel_sizes(family):
                shapes[stage] = (inputs, len(sizes), targets, channels)
        for size in self.kernel_sizes("atrous_conv"):
            shapes[f"atrous{size}"] = (inputs, targets, channels)
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
