"""The parts that the networks of a space are made of, and the prices that follow from theirs."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor, nn

from autoseg.architecture import NO_OPERATION, SearchSpace
from autoseg.networks.auto_deeplab import low_level_cell
from autoseg.networks.deeplabv3 import pyramid_rates
from autoseg.networks.derived_cell import CellInput
from autoseg.networks.width import scale_channels
from autoseg.ops import (
    ASPP,
    Stem,
    build_operation,
    conv_bn_relu,
    resize,
    set_image_channels_,
    strided,
)
from autoseg.pricing.prices import Prices, Unit


@dataclass(frozen=True, kw_only=True, slots=True)
class PricedNetworks:
    """All networks of a space in one size, as `build_network` builds them."""

    space: SearchSpace
    """What may be chosen."""
    image_size: tuple[int, int]
    """Height and width of the image, in pixels."""
    num_classes: int
    """K."""
    filter_multiplier: int
    """F of the networks."""
    width: float = 1.0
    """Factor on the channels that F does not decide."""
    in_channels: int = 3
    """C, the number of the images' channels."""

    def differences(self, other: "PricedNetworks") -> list[str]:
        """Name what differs in other networks, with both values: "num_classes 19, not 12"."""
        own, theirs = self._decides(), other._decides()
        return [
            f"{name} {own[name]}, not {theirs[name]}" for name in own if own[name] != theirs[name]
        ]

    def _decides(self) -> dict[str, object]:
        """Return all that decides a network's parts; the supernet's sizes do not."""
        space_fields = ("name", "num_layers", "num_nodes", "strides", "operations")
        own = [field.name for field in fields(self) if field.name != "space"]
        return {f"space.{name}": getattr(self.space, name) for name in space_fields} | {
            name: getattr(self, name) for name in own
        }


class Part(NamedTuple):
    """A piece of a network that is priced by itself."""

    name: str
    """Says what it is; other parts have other names."""
    build: Callable[[], nn.Module]
    """Builds it with random weights; it maps one tensor to anything."""
    input_shape: tuple[int, int, int, int]
    """Shape of that tensor, for one image."""


def parts_of(networks: PricedNetworks) -> list[Part]:
    """List the parts that the networks are made of, each once."""
    parts: dict[str, Part] = {}

    def collect(part: Part) -> int:
        parts.setdefault(part.name, part)
        return 0

    assemble(networks, collect, unit="MACs")
    return list(parts.values())


def assemble(networks: PricedNetworks, cost_of: Callable[[Part], int], *, unit: Unit) -> Prices:
    """Put the costs of the parts in their places.

    Args:
        networks: What is priced.
        cost_of: Gives the cost of a part; asked again where the part occurs again.
        unit: What that is a number of.
    """
    space, width = networks.space, networks.width
    num_levels, strides = space.num_levels, space.strides
    stem_channels = [scale_channels(channels, width) for channels in (64, 64, 128)]
    head, low_level = (scale_channels(channels, width) for channels in (256, 48))
    grids = {stride: _grid(networks.image_size, stride) for stride in (2, *strides)}
    node_channels = [networks.filter_multiplier * stride // 4 for stride in strides]
    cell_channels = [space.num_nodes * channels for channels in node_channels]

    def reachable(layer: int) -> set[int]:
        return {edge.target_level for edge in space.trellis() if edge.layer == layer}

    def zeros(*shape: int) -> Tensor:
        # Explicitly on the CPU: the caller may build modules on "meta".
        return torch.zeros(shape, dtype=torch.int64, device="cpu")

    operations = zeros(num_levels, 2, len(space.operations))
    used = {(edge.target_level, edge.direction == 2) for edge in space.trellis()}
    for level, halves in sorted(used | {(level, False) for level, _ in used}):
        for index, op in enumerate(space.operations):
            if op != NO_OPERATION:
                stride = strides[level - int(halves)]
                part = _operation(op, node_channels[level], stride, grids[stride], halves=halves)
                operations[level, int(halves), index] = cost_of(part)

    def cost_of_input(channels: int, stride: int, before: int, level: int) -> int:
        """Price an input of a cell, read at the finer of its level and the one before."""
        read = strides[min(before, level)]
        ends = f"{channels} to {node_channels[level]} channels, stride {stride} read at {read}"
        return cost_of(
            Part(
                f"input of {ends}",
                lambda: _InputAtSize(CellInput(channels, node_channels[level]), grids[read]),
                (1, channels, *grids[stride]),
            )
        )

    inputs = zeros(space.num_layers, num_levels, num_levels, num_levels)
    for layer, before, level in space.trellis():
        previous = cell_channels[before] if layer else stem_channels[2]
        sources = {
            edge.source_level
            for edge in space.trellis()
            if (edge.layer, edge.target_level) == (layer - 1, before)
        }
        common = cost_of_input(previous, strides[before], before, level)
        common += cost_of(_sums(space.num_nodes, node_channels[level], strides[level], grids))
        for two_before in sources or {0}:
            # The first two cells read the stem: its maps of stride 2 and 4.
            earlier = cell_channels[two_before] if layer > 1 else stem_channels[1 + layer]
            stride = strides[two_before] if layer > 0 else 2
            inputs[layer, two_before, before, level] = common + cost_of_input(
                earlier, stride, before, level
            )

    def by_level(levels: set[int], part_at: Callable[[int], Part]) -> Tensor:
        costs = zeros(num_levels)
        for level in levels:
            costs[level] = cost_of(part_at(level))
        return costs

    def head_at(level: int) -> Part:
        rates = pyramid_rates(strides[level])
        return Part(
            f"head, stride {strides[level]}",
            lambda: _Resized(ASPP(cell_channels[level], head, rates=rates), grids[4]),
            (1, cell_channels[level], *grids[strides[level]]),
        )

    def low_level_at(level: int) -> Part:
        return Part(
            f"early map, stride {strides[level]}",
            lambda: _Resized(conv_bn_relu(cell_channels[level], low_level), grids[4]),
            (1, cell_channels[level], *grids[strides[level]]),
        )

    low_level_layer = low_level_cell(space.num_layers)
    return Prices(
        space=space,
        image_size=networks.image_size,
        unit=unit,
        fixed=cost_of(_stem(networks, (stem_channels[0], stem_channels[1], stem_channels[2])))
        + cost_of(_decoder(networks, head=head, low_level=low_level)),
        inputs=inputs,
        operations=operations,
        head=by_level(reachable(space.num_layers - 1), head_at),
        low_level=by_level(reachable(low_level_layer), low_level_at),
        low_level_layer=low_level_layer,
    )


def _stem(networks: PricedNetworks, channels: tuple[int, int, int]) -> Part:
    def build() -> nn.Module:
        stem = Stem(channels)
        set_image_channels_(stem, networks.in_channels)
        return stem

    return Part("stem", build, (1, networks.in_channels, *networks.image_size))


def _operation(op: str, channels: int, stride: int, grid: tuple[int, int], *, halves: bool) -> Part:
    where = f"stride {stride} to {2 * stride}" if halves else f"stride {stride}"
    return Part(
        f"{op}, {where}",
        lambda: build_operation(op, channels, 2 if halves else 1),
        (1, channels, *grid),
    )


def _sums(num_nodes: int, channels: int, stride: int, grids: dict[int, tuple[int, int]]) -> Part:
    shape = (1, 2 * num_nodes * channels, *grids[stride])
    return Part(f"sums of a cell, stride {stride}", lambda: _Sums(num_nodes), shape)


def _decoder(networks: PricedNetworks, *, head: int, low_level: int) -> Part:
    def build() -> nn.Module:
        layers = nn.Sequential(
            conv_bn_relu(head + low_level, head, 3),
            conv_bn_relu(head, head, 3),
            nn.Conv2d(head, networks.num_classes, 1),
        )
        return _Decoder(layers, (head, low_level), networks.image_size)

    return Part("decoder", build, (1, head + low_level, *_grid(networks.image_size, 4)))


class _InputAtSize(nn.Module):
    """A cell's input, resized to where the cell reads it."""

    def __init__(self, module: CellInput, size: tuple[int, int]) -> None:
        super().__init__()
        self._module, self._size = module, size

    def forward(self, state: Tensor) -> Tensor:
        return self._module(resize(state, self._size, align_corners=True))


class _Resized(nn.Module):
    """A module whose output is resized."""

    def __init__(self, module: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self._module, self._size = module, size

    def forward(self, state: Tensor) -> Tensor:
        return resize(self._module(state), self._size, align_corners=True)


class _Sums(nn.Module):
    """What a cell does beside its inputs and operations: the sums of its nodes, side by side."""

    def __init__(self, num_nodes: int) -> None:
        super().__init__()
        self._num_nodes = num_nodes

    def forward(self, edges: Tensor) -> Tensor:
        each = edges.chunk(2 * self._num_nodes, dim=1)
        return torch.cat([a + b for a, b in zip(each[::2], each[1::2], strict=True)], dim=1)


class _Decoder(nn.Module):
    """The decoder from its two maps to logits at the image's size."""

    def __init__(
        self, layers: nn.Module, channels: tuple[int, int], image_size: tuple[int, int]
    ) -> None:
        super().__init__()
        self._layers, self._channels, self._image_size = layers, channels, image_size

    def forward(self, maps: Tensor) -> Tensor:
        joined = torch.cat(maps.split(self._channels, dim=1), dim=1)
        return resize(self._layers(joined), self._image_size, align_corners=True)


def _grid(image_size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Return the height and width of a map at a stride, rounded up at each halving."""
    height, width = image_size
    return strided(height, stride), strided(width, stride)
