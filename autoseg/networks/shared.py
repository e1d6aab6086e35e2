"""All networks of a space at once, which share the modules that they have in common."""

from typing import cast

from torch import nn

from autoseg.architecture import NO_OPERATION, Architecture, SearchSpace
from autoseg.architecture.membership import require_of_space
from autoseg.networks.auto_deeplab import AutoDeepLab, low_level_cell
from autoseg.networks.deeplabv3 import pyramid_rates
from autoseg.networks.derived_cell import (
    CellInput,
    DerivedCell,
    DerivedEdge,
    DerivedNode,
    edge_stride,
)
from autoseg.networks.initialise import initialise_
from autoseg.networks.width import scale_channels
from autoseg.ops import ASPP, Stem, build_operation, conv_bn_relu, set_image_channels_

_STEM_STRIDES = (2, 4)
"""Strides of the stem's two maps, which are state 0 and state 1 of the first cell."""


class SharedNetworks(nn.Module):
    """The weights of every `AutoDeepLab` of a space.

    A path of `Supernet` computes what Auto-DeepLab's search does, which the derived network does
    not: there a cell has a state 0 only where the path was at the same stride two layers before,
    goes down by its inputs and not by its operations, and the last one ends in a head without a
    decoder. What `network` returns here is the very network that is retrained.

    Two networks share an operation if layer, stride, node and source agree, and both halve their
    input there or neither does; the input of a cell if layer, stride and the stride that it comes
    from agree; ASPP if their last strides agree; stem, decoder and classifier always.
    """

    def __init__(
        self, space: SearchSpace, *, num_classes: int, width: float, in_channels: int = 3
    ) -> None:
        """Build all modules with random weights, in the sizes of the search.

        Args:
            space: What may be chosen, and F.
            num_classes: K.
            width: Factor on the channels that F does not decide; see `AutoDeepLab`.
            in_channels: C, the number of the images' channels.
        """
        super().__init__()
        self.space = space
        stem = [scale_channels(channels, width) for channels in (64, 64, 128)]
        head, low_level = (scale_channels(channels, width) for channels in (256, 48))
        self.stem = Stem((stem[0], stem[1], stem[2]))

        def cell_input(layer: int, source_layer: int, before: int, stride: int) -> CellInput:
            """Bring the map of a layer, or of the stem at -2 and -1, to the width of a cell."""
            from_stem = source_layer < 0
            in_channels = stem[source_layer] if from_stem else _cell_channels(space, before)
            return CellInput(in_channels, space.num_channels(stride))

        self.previous, self.previous_previous = nn.ModuleDict(), nn.ModuleDict()
        self.operations = nn.ModuleDict()
        for layer, before, stride in _steps(space):
            name = _input_name(layer, before, stride)
            self.previous[name] = cell_input(layer, layer - 1, before, stride)
            for two_before in _strides_before(space, layer, before):
                name = _input_name(layer, two_before, stride)
                if name not in self.previous_previous:
                    source = cell_input(layer, layer - 2, two_before, stride)
                    self.previous_previous[name] = source
            for node in range(space.num_nodes):
                for state in space.predecessors(node):
                    for op in space.operations:
                        name = _operation_name(layer, before, stride, node, state, op)
                        if op != NO_OPERATION and name not in self.operations:
                            self.operations[name] = build_operation(
                                op,
                                space.num_channels(stride),
                                2 if _halves(before, stride, state) else 1,
                            )
        last = space.num_layers - 1
        self.aspp = nn.ModuleDict(
            {
                str(stride): ASPP(_cell_channels(space, stride), head, rates=pyramid_rates(stride))
                for stride in _strides(space, last)
            }
        )
        self.low_level = nn.ModuleDict(
            {
                str(stride): conv_bn_relu(_cell_channels(space, stride), low_level)
                for stride in _strides(space, low_level_cell(space.num_layers))
            }
        )
        self.decoder = nn.Sequential(
            conv_bn_relu(low_level + head, head, 3), conv_bn_relu(head, head, 3)
        )
        self.classifier = nn.Conv2d(head, num_classes, 1)
        initialise_(self)
        set_image_channels_(self, in_channels)

    def weight_parameters(self) -> list[nn.Parameter]:
        """Return all parameters: there is nothing else to train."""
        return list(self.parameters())

    def network(self, architecture: Architecture) -> AutoDeepLab:
        """Return an architecture's network, made of the modules here: to train it trains them.

        Args:
            architecture: One of the space.

        Raises:
            ValueError: If it is not one of the space.
        """
        require_of_space(architecture, self.space, work="SharedNetworks")
        strides = (*_STEM_STRIDES, *architecture.path)
        low_level_stride = architecture.path[low_level_cell(architecture.num_layers)]
        network = AutoDeepLab.from_parts(
            architecture,
            stem=self.stem,
            cells=[
                self._cell(architecture, layer, *strides[layer : layer + 3])
                for layer in range(architecture.num_layers)
            ],
            aspp=cast(ASPP, self.aspp[str(architecture.path[-1])]),
            low_level=cast(nn.Sequential, self.low_level[str(low_level_stride)]),
            decoder=self.decoder,
            classifier=self.classifier,
        )
        return network.train(self.training)

    def _cell(
        self, architecture: Architecture, layer: int, two_before: int, before: int, stride: int
    ) -> DerivedCell:
        """Put the cell of a layer together, by its stride and those of its two inputs."""

        def edge(node: int, source: int, op: str) -> DerivedEdge:
            name = _operation_name(layer, before, stride, node, source, op)
            return DerivedEdge(source, self.operations[name])

        previous_previous = self.previous_previous[_input_name(layer, two_before, stride)]
        previous = self.previous[_input_name(layer, before, stride)]
        return DerivedCell(
            previous_previous=cast(CellInput, previous_previous),
            previous=cast(CellInput, previous),
            nodes=[
                DerivedNode([edge(node, *chosen) for chosen in edges])
                for node, edges in enumerate(architecture.cell)
            ],
        )


def _cell_channels(space: SearchSpace, stride: int) -> int:
    return space.num_nodes * space.num_channels(stride)


def _steps(space: SearchSpace) -> list[tuple[int, int, int]]:
    """List the edges of the trellis: layer, stride before it, stride of it."""
    return [
        (edge.layer, space.strides[edge.source_level], space.strides[edge.target_level])
        for edge in space.trellis()
    ]


def _strides(space: SearchSpace, layer: int) -> list[int]:
    """List the strides at which a path can be in a layer."""
    return sorted({stride for number, _, stride in _steps(space) if number == layer})


def _strides_before(space: SearchSpace, layer: int, stride: int) -> list[int]:
    """List the strides of the map two layers before, if the one in between is of this stride."""
    if layer == 0:
        return [_STEM_STRIDES[0]]
    return [
        before for number, before, after in _steps(space) if (number, after) == (layer - 1, stride)
    ]


def _halves(before: int, stride: int, source: int) -> bool:
    """Say whether an operation halves its input: in cells that go down, those that read inputs."""
    return edge_stride(source, stride=2 if stride > before else 1) == 2


def _input_name(layer: int, before: int, stride: int) -> str:
    return f"layer{layer}_stride{before}_to_{stride}"


def _operation_name(layer: int, before: int, stride: int, node: int, source: int, op: str) -> str:
    halving = "_halving" if _halves(before, stride, source) else ""
    return f"layer{layer}_stride{stride}_node{node}_state{source}_{op}{halving}"
