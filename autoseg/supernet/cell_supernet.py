"""The supernet of a cell space: all cells at once, on the fixed backbone.

Source: DARTS, arXiv 1806.09055, sections 2.1 and 2.2, with the authors' code where the paper is
silent.
"""

from collections.abc import Sequence
from functools import reduce
from typing import cast

import torch
from torch import Tensor, nn

from autoseg.architecture import (
    ARCH_INIT_STD,
    NO_OPERATION,
    CellArchitecture,
    CellSpace,
    DecodedCells,
    decode_cells,
    decode_cells_with_confidence,
    normalise_alpha,
)
from autoseg.ops import (
    CellInputs,
    CellPlace,
    ClassifierStem,
    DecoderHead,
    PooledClassifier,
    Stem,
    StemShape,
    build_darts_operation,
    cell_places,
    reduction_cells,
    remove_affine_,
    set_image_channels_,
)
from autoseg.ops.image_channels import RGB_CHANNELS
from autoseg.supernet.relaxed import RelaxedNetwork

_HEAD_RATES = (6,)
"""One atrous rate, 96 / 16, as Auto-DeepLab's supernet has at stride 16 (section 5.1)."""


class MixedOperation(nn.Module):
    """All candidates of an edge, weighted (equation 2). "none" is 0 and is evaluated nowhere."""

    def __init__(self, names: Sequence[str], channels: int, stride: int) -> None:
        super().__init__()
        self.names = names
        self.columns = [i for i, name in enumerate(names) if name != NO_OPERATION]
        self.operations = nn.ModuleList(
            build_darts_operation(names[i], channels, stride, in_search=True) for i in self.columns
        )

    def forward(self, state: Tensor, weights: Tensor) -> Tensor:
        """Sum the operations on a state, (N, C, H, W), by their weights, (operations,)."""
        terms = [
            weights[column] * operation(state)
            for column, operation in zip(self.columns, self.operations, strict=True)
        ]
        return reduce(torch.add, terms)


class MixedCell(nn.Module):
    """A cell in which every node reads every state before it."""

    def __init__(
        self, operations: Sequence[Sequence[str]], place: CellPlace, *, num_nodes: int
    ) -> None:
        """Build the cell; its batch norms have neither scale nor shift.

        Args:
            operations: Candidates of each edge, ordered by node, then by source.
            place: Where the cell stands.
            num_nodes: Nodes of the cell.
        """
        super().__init__()
        self.is_reduction = place.is_reduction
        self.inputs = CellInputs(place)
        from_cell, from_node = place.edge_strides
        candidates = iter(operations)
        self.nodes = nn.ModuleList(
            nn.ModuleList(
                MixedOperation(
                    next(candidates), place.channels, from_cell if source < 2 else from_node
                )
                for source in range(2 + node)
            )
            for node in range(num_nodes)
        )
        remove_affine_(self)

    def operation(self, source: int, node: int, name: str) -> nn.Module:
        """Return an operation other than "none" of the edge from a state to a node."""
        mixed = cast(nn.ModuleList, self.nodes[node])[source]
        assert isinstance(mixed, MixedOperation)
        return mixed.operations[mixed.columns.index(mixed.names.index(name))]

    def forward(self, previous_previous: Tensor, previous: Tensor, weights: Tensor) -> Tensor:
        """Evaluate the cell.

        Args:
            previous_previous: Output of the cell before the previous one.
            previous: Output of the previous one.
            weights: Weights of the operations on each edge, (num_edges, operations).

        Returns:
            The concatenated nodes, (N, num_nodes * channels, H, W).
        """
        states = self.inputs(previous_previous, previous)
        rows = iter(weights)
        for edges in self.nodes:
            assert isinstance(edges, nn.ModuleList)
            # The states so far are as many as the node has edges.
            terms = [edge(state, next(rows)) for edge, state in zip(edges, states, strict=True)]
            states.append(reduce(torch.add, terms))
        return torch.cat(states[2:], dim=1)


class RelaxedCells(RelaxedNetwork):
    """The stack of mixed cells with both alphas; a subclass adds what comes before and after."""

    def __init__(self, space: CellSpace, *, stem: StemShape) -> None:
        """Build alphas and cells with random weights.

        Args:
            space: What may be chosen, and the size of the stack.
            stem: What the first cell reads.
        """
        super().__init__()
        self.space = space
        self.normal_alpha, self.reduction_alpha = (
            nn.Parameter(ARCH_INIT_STD * torch.randn(space.num_edges, len(operations[0])))
            for operations in (space.normal_operations, space.reduction_operations)
        )
        places = cell_places(
            space.num_cells, space.filter_multiplier, num_nodes=space.num_nodes, stem=stem
        )
        self.cells = nn.ModuleList(
            MixedCell(
                space.reduction_operations if place.is_reduction else space.normal_operations,
                place,
                num_nodes=space.num_nodes,
            )
            for place in places
        )

    def arch_parameters(self) -> list[nn.Parameter]:
        """Return the alphas of normal and reduction cell, each (num_edges, operations)."""
        return [self.normal_alpha, self.reduction_alpha]

    def mixed_logits(self) -> tuple[Tensor, Tensor]:
        """Return both alphas as `forward` takes them; a subclass may draw others."""
        return self.normal_alpha, self.reduction_alpha

    def decode(self) -> CellArchitecture:
        """Decode the best architecture under the present alphas."""
        return decode_cells(self.space, *self.decoded_logits())

    def decode_with_confidence(
        self, normal: Tensor, reduction: Tensor, *, history: Sequence[tuple[Tensor, Tensor]]
    ) -> DecodedCells:
        """Decode these alphas, and say how sure the result is."""
        return decode_cells_with_confidence(self.space, normal, reduction, history=history)

    def forward(self, images: Tensor) -> Tensor:
        """Predict under the weights that the alphas give."""
        return self.forward_weighted(images, *map(normalise_alpha, self.mixed_logits()))

    def forward_weighted(self, images: Tensor, normal: Tensor, reduction: Tensor) -> Tensor:
        """Predict under given weights of the operations, those of normal and reduction cells."""
        raise NotImplementedError

    def run_cells(
        self, previous_previous: Tensor, previous: Tensor, normal: Tensor, reduction: Tensor
    ) -> list[Tensor]:
        """Return the output of each cell.

        Args:
            previous_previous: The first map of the stem.
            previous: The second one.
            normal: Weight of each operation on each edge of the normal cells.
            reduction: The same for the reduction cells.
        """
        outputs = [previous_previous, previous]
        for cell in self.cells:
            outputs.append(cell(*outputs[-2:], reduction if cell.is_reduction else normal))
        return outputs[2:]


class CellSupernet(RelaxedCells):
    """The supernet that segments: stem to stride 4, cells to stride 16, DeepLab v3+'s head."""

    def __init__(
        self, space: CellSpace, *, num_classes: int, in_channels: int = RGB_CHANNELS
    ) -> None:
        """Build the supernet with random weights.

        Args:
            space: What may be chosen, and its sizes. The head is as wide as in a network whose
                stem has these channels: twice the stem's last.
            num_classes: K, the number of evaluated classes.
            in_channels: C, the number of the images' channels.
        """
        _, second, third = space.stem_channels
        super().__init__(space, stem=StemShape(second, third, halves=True))
        self.num_classes = num_classes
        self.stem = Stem(space.stem_channels)
        set_image_channels_(self.stem, in_channels)
        self.early_cell = reduction_cells(space.num_cells)[0] - 1
        self.head = DecoderHead(
            deep_channels=space.num_nodes * space.num_channels(space.coarsest_stride),
            early_channels=space.num_nodes * space.num_channels(space.strides[0]),
            channels=2 * third,  # 256 where the stem has the paper's 128
            low_level_channels=max(1, 3 * third // 8),  # 48
            num_classes=num_classes,
            rates=_HEAD_RATES,
        )

    def forward_weighted(self, images: Tensor, normal: Tensor, reduction: Tensor) -> Tensor:
        """Predict under given weights, for example one-hot ones.

        Args:
            images: Normalised images, (N, 3, H, W), any H and W.
            normal: Weight of each operation on each edge, (num_edges, operations).
            reduction: The same for the reduction cells.

        Returns:
            Logits, (N, K, H, W).
        """
        previous_previous, previous = self.stem(images)
        outputs = self.run_cells(previous_previous, previous, normal, reduction)
        return self.predict(outputs, images)

    def predict(self, outputs: Sequence[Tensor], images: Tensor) -> Tensor:
        """Predict from the outputs of all cells: logits of the size of the images."""
        return self.head(outputs[-1], outputs[self.early_cell], images.shape[2:])


class CellClassifierSupernet(RelaxedCells):
    """DARTS' supernet for CIFAR-10, by which its published parameter counts are checked.

    With DARTS' space and 10 classes it has 1,930,618 weights, and 224 entries of alpha.
    """

    def __init__(self, space: CellSpace, *, num_classes: int) -> None:
        """Build the supernet with random weights.

        Args:
            space: What may be chosen, and its sizes; the channels of its stem are not used.
            num_classes: K.
        """
        stem = ClassifierStem(space.filter_multiplier)
        super().__init__(space, stem=stem.shape)
        self.stem = stem
        channels = space.num_nodes * space.num_channels(space.coarsest_stride)
        self.classifier = PooledClassifier(channels, num_classes)

    def forward_weighted(self, images: Tensor, normal: Tensor, reduction: Tensor) -> Tensor:
        """Predict classes of images, (N, 3, H, W): logits, (N, K). Weights as in `CellSupernet`."""
        previous_previous, previous = self.stem(images)
        outputs = self.run_cells(previous_previous, previous, normal, reduction)
        return self.classifier(outputs[-1])
