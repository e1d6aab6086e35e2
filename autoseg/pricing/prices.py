"""What the parts of a space's networks cost, and with it every network."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from autoseg.architecture import NO_OPERATION, Architecture, SearchSpace
from autoseg.architecture.membership import require_of_space
from autoseg.cost import count_module_macs
from autoseg.networks.auto_deeplab import low_level_cell
from autoseg.networks.deeplabv3 import pyramid_rates
from autoseg.networks.derived_cell import CellInput
from autoseg.networks.width import scale_channels
from autoseg.ops import ASPP, Stem, build_operation, conv_bn_relu, set_image_channels_


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Prices:
    """Multiply-accumulates (MACs) of every part of a space's networks, for one image.

    A network costs the sum of its parts: `fixed`, the inputs and operations of each cell, its head
    and the decoder's early map. A layer's cell depends on three strides, its own and those of the
    two layers before; where it lies at a coarser stride than the layer before, operations on its
    inputs halve them. Levels number the strides, finest first.
    """

    space: SearchSpace
    """The space that they belong to."""
    image_size: tuple[int, int]
    """Height and width of the image, in pixels."""
    fixed: int
    """Stem, decoder and classifier, which all networks have."""
    inputs: Tensor
    """The two 1x1 convolutions at a cell's inputs: int64, (num_layers, levels, levels, levels), by
    layer, level two layers before, level of the layer before, level of the cell. The stem counts as
    level 0; 0 where no path leads."""
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

    def macs(self, architecture: Architecture) -> int:
        """Add up an architecture's MACs: exactly `count_macs` of its network.

        Raises:
            ValueError: If it is not one of the space.
        """
        require_of_space(architecture, self.space, work="Prices.macs")
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


def price_space(
    space: SearchSpace,
    *,
    image_size: tuple[int, int],
    num_classes: int,
    filter_multiplier: int,
    width: float = 1.0,
    in_channels: int = 3,
) -> Prices:
    """Count the MACs of every part that a network of the space can have.

    Args:
        space: What may be chosen.
        image_size: Height and width of the image, in pixels.
        num_classes: K.
        filter_multiplier: F of the networks, as `build_network` takes it.
        width: Factor on the channels that F does not decide, as `build_network` takes it.
        in_channels: C, the number of the images' channels.

    Raises:
        RuntimeError: If an operation of one's own does not run on meta tensors.
    """
    with torch.device("meta"):  # takes no memory, and no random numbers
        return _price(space, image_size, num_classes, filter_multiplier, width, in_channels)


def _price(
    space: SearchSpace,
    image_size: tuple[int, int],
    num_classes: int,
    filter_multiplier: int,
    width: float,
    in_channels: int,
) -> Prices:
    stem_channels = [scale_channels(channels, width) for channels in (64, 64, 128)]
    head, low_level = (scale_channels(channels, width) for channels in (256, 48))
    grids = _grids(image_size, space.num_levels)
    node_channels = [filter_multiplier * stride // 4 for stride in space.strides]
    cell_channels = [space.num_nodes * channels for channels in node_channels]

    def reachable(layer: int) -> set[int]:
        return {edge.target_level for edge in space.trellis() if edge.layer == layer}

    num_levels, num_operations = space.num_levels, len(space.operations)
    # Explicitly on the CPU: the caller builds modules on "meta".
    operations = torch.zeros(num_levels, 2, num_operations, dtype=torch.int64, device="cpu")
    used = {(edge.target_level, edge.direction == 2) for edge in space.trellis()}
    for level, halves in sorted(used | {(level, False) for level, _ in used}):
        channels = node_channels[level]
        for index, op in enumerate(space.operations):
            if op != NO_OPERATION:
                module = build_operation(op, channels, 2 if halves else 1)
                shape = (1, channels, *grids[level - int(halves)])
                operations[level, int(halves), index] = count_module_macs(module, shape)

    known: dict[tuple[int, int, int], int] = {}

    def input_macs(channels: int, before: int, level: int) -> int:
        """Price a cell's input of so many channels, read at the finer of the two levels."""
        key = (channels, min(before, level), level)
        if key not in known:
            module = CellInput(channels, node_channels[level])
            known[key] = count_module_macs(module, (1, channels, *grids[min(before, level)]))
        return known[key]

    inputs = torch.zeros(
        space.num_layers, num_levels, num_levels, num_levels, dtype=torch.int64, device="cpu"
    )
    for layer, before, level in space.trellis():
        previous = cell_channels[before] if layer else stem_channels[2]
        sources = {
            edge.source_level
            for edge in space.trellis()
            if (edge.layer, edge.target_level) == (layer - 1, before)
        }
        for two_before in sources or {0}:
            earlier = cell_channels[two_before] if layer > 1 else stem_channels[1 + layer]
            inputs[layer, two_before, before, level] = input_macs(
                previous, before, level
            ) + input_macs(earlier, before, level)

    def by_level(module_of: dict[int, torch.nn.Module]) -> Tensor:
        macs = torch.zeros(num_levels, dtype=torch.int64, device="cpu")
        for level, module in module_of.items():
            macs[level] = count_module_macs(module, (1, cell_channels[level], *grids[level]))
        return macs

    stem = Stem((stem_channels[0], stem_channels[1], stem_channels[2]))
    set_image_channels_(stem, in_channels)
    joined = low_level + head
    decoder = torch.nn.Sequential(
        conv_bn_relu(joined, head, 3),
        conv_bn_relu(head, head, 3),
        torch.nn.Conv2d(head, num_classes, 1),
    )
    low_level_layer = low_level_cell(space.num_layers)
    return Prices(
        space=space,
        image_size=image_size,
        fixed=count_module_macs(stem, (1, in_channels, *image_size))
        + count_module_macs(decoder, (1, joined, *grids[0])),
        inputs=inputs,
        operations=operations,
        head=by_level(
            {
                level: ASPP(cell_channels[level], head, rates=pyramid_rates(space.strides[level]))
                for level in reachable(space.num_layers - 1)
            }
        ),
        low_level=by_level(
            {
                level: conv_bn_relu(cell_channels[level], low_level)
                for level in reachable(low_level_layer)
            }
        ),
        low_level_layer=low_level_layer,
    )


def _grids(image_size: tuple[int, int], num_levels: int) -> list[tuple[int, int]]:
    """List height and width at each level: the image's, halved and rounded up twice and more."""
    sizes, (height, width) = [], image_size
    for _ in range(num_levels + 1):
        height, width = (height + 1) // 2, (width + 1) // 2
        sizes.append((height, width))
    return sizes[1:]
