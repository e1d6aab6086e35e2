"""The networks that a cell architecture stands for: one that segments, and DARTS' classifier.

Source: DARTS, arXiv 1806.09055, section A.1.2 and figure 4, with the authors' code.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from autoseg.architecture import Cell, CellArchitecture
from autoseg.architecture.limits import MAX_CHANNELS
from autoseg.contract import TrainingLogits
from autoseg.errors import UsageError
from autoseg.networks.deeplabv3 import pyramid_rates
from autoseg.networks.derived_cell import DerivedEdge, DerivedNode
from autoseg.networks.drop_path import DropPath
from autoseg.networks.initialise import initialise_
from autoseg.networks.width import scale_channels
from autoseg.ops import (
    AuxiliaryClassifier,
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
)

OUTPUT_STRIDE = 16
"""Stride of the last cell where the stem ends at stride 4."""

_AUXILIARY_WEIGHT = 0.4


class StackedCell(nn.Module):
    """A discrete cell at its place in the stack."""

    def __init__(self, cell: Cell, place: CellPlace) -> None:
        """Build the cell with random weights."""
        super().__init__()
        self.inputs = CellInputs(place)
        from_cell, from_node = place.edge_strides
        self.nodes = nn.ModuleList(
            DerivedNode(
                [
                    DerivedEdge(
                        edge.source,
                        build_darts_operation(
                            edge.op, place.channels, from_cell if edge.source < 2 else from_node
                        ),
                    )
                    for edge in edges
                ]
            )
            for edges in cell
        )

    def forward(self, previous_previous: Tensor, previous: Tensor) -> Tensor:
        """Return the concatenated nodes, (N, num_nodes * channels, H, W)."""
        states = self.inputs(previous_previous, previous)
        for node in self.nodes:
            states.append(node(states))
        return torch.cat(states[2:], dim=1)


class CellNetwork(nn.Module):
    """Stem to stride 4, the stack of cells to stride 16, and DeepLab v3+'s head.

    The early map of the head is that of the last cell at stride 4.
    """

    def __init__(
        self,
        architecture: CellArchitecture,
        *,
        num_classes: int,
        filter_multiplier: int = 20,
        width: float = 1.0,
        drop_path_keep: float = 1.0,
    ) -> None:
        """Build the network with random weights.

        Args:
            architecture: What a search found.
            num_classes: K.
            filter_multiplier: F; a node at stride s has F * s / 4 channels (DARTS' C is F).
            width: Factor on the channels that F does not decide: stem (64, 64, 128), ASPP and
                decoder (256), the decoder's early map (48).
            drop_path_keep: Probability that a path is kept at the end of the training; 1 switches
                dropping off.

        Raises:
            UsageError: If F is below 2, or gives a cell more than `MAX_CHANNELS` channels.
        """
        super().__init__()
        widest = architecture.num_nodes * filter_multiplier * OUTPUT_STRIDE // 4
        if not filter_multiplier >= 2 or widest > MAX_CHANNELS:
            raise UsageError(
                f"CellNetwork: filter_multiplier {filter_multiplier}; it must be at least 2, and a "
                f"cell of {architecture.num_nodes} nodes at stride {OUTPUT_STRIDE} may have "
                f"{MAX_CHANNELS:,} channels."
            )
        self.architecture = architecture
        self.drop_path_keep = drop_path_keep
        first, second, third = (scale_channels(channels, width) for channels in (64, 64, 128))
        self.stem = Stem((first, second, third))
        self.cells = build_cells(
            architecture, filter_multiplier, stem=StemShape(second, third, halves=True)
        )
        self.early_cell = reduction_cells(architecture.num_cells)[0] - 1
        self.head = DecoderHead(
            deep_channels=widest,
            early_channels=architecture.num_nodes * filter_multiplier,
            channels=scale_channels(256, width),
            low_level_channels=scale_channels(48, width),
            num_classes=num_classes,
            rates=pyramid_rates(OUTPUT_STRIDE),
        )
        initialise_(self)
        self.set_training_progress(0.0)

    def set_training_progress(self, progress: float | Tensor) -> None:
        """Set the keep probability of every path, which falls linearly; progress is in [0, 1]."""
        set_keep_(self.cells, _keep_probability(progress, final=self.drop_path_keep))

    def forward(self, images: Tensor) -> Tensor:
        """Predict classes.

        Args:
            images: Normalised images, (N, 3, H, W), any H and W.

        Returns:
            Logits, (N, K, H, W).
        """
        outputs = run_cells(self.cells, *self.stem(images))
        return self.head(outputs[-1], outputs[self.early_cell], images.shape[2:])


class CellClassifier(nn.Module):
    """DARTS' network for CIFAR-10, by which its published parameter counts are checked.

    With 20 cells, 36 channels and 10 classes the first- and second-order cells of the paper have
    3,169,414 and 3,349,342 parameters; the auxiliary classifier has 476,426 more.
    """

    def __init__(
        self,
        architecture: CellArchitecture,
        *,
        num_classes: int,
        channels: int = 36,
        drop_path_keep: float = 1.0,
        has_auxiliary: bool = False,
    ) -> None:
        """Build the network with random weights.

        Args:
            architecture: The cells and their number.
            num_classes: K.
            channels: C of a node in the first cells.
            drop_path_keep: Share of the paths that training keeps; see `CellNetwork`.
            has_auxiliary: Add the classifier that helps training; images are then 32 x 32.
        """
        super().__init__()
        self.drop_path_keep = drop_path_keep
        self.stem = ClassifierStem(channels)
        self.cells = build_cells(architecture, channels, stem=self.stem.shape)
        self.auxiliary_cell = reduction_cells(architecture.num_cells)[1]
        widest = 4 * channels * architecture.num_nodes
        self.classifier = PooledClassifier(widest, num_classes)
        self.auxiliary = AuxiliaryClassifier(widest, num_classes) if has_auxiliary else None
        initialise_(self)
        self.set_training_progress(0.0)

    def set_training_progress(self, progress: float | Tensor) -> None:
        """Set the keep probability of every path, which falls linearly; progress is in [0, 1]."""
        set_keep_(self.cells, _keep_probability(progress, final=self.drop_path_keep))

    def forward(self, images: Tensor) -> Tensor | TrainingLogits:
        """Predict the classes of images.

        Args:
            images: Normalised images, (N, 3, H, W).

        Returns:
            Logits, (N, K); in training with an auxiliary classifier `TrainingLogits` of such.
        """
        outputs = run_cells(self.cells, *self.stem(images))
        logits = self.classifier(outputs[-1])
        if self.auxiliary is None or not self.training:
            return logits
        auxiliary = self.auxiliary(outputs[self.auxiliary_cell])
        return TrainingLogits(logits, (auxiliary,), (_AUXILIARY_WEIGHT,))


def build_cells(architecture: CellArchitecture, channels: int, *, stem: StemShape) -> nn.ModuleList:
    """Build the stack of an architecture's cells with random weights.

    Args:
        architecture: The cells and their number.
        channels: Channels of a node in the first cells.
        stem: What the first cell reads.
    """
    places = cell_places(
        architecture.num_cells, channels, num_nodes=architecture.num_nodes, stem=stem
    )
    return nn.ModuleList(
        StackedCell(architecture.reduction if place.is_reduction else architecture.normal, place)
        for place in places
    )


def run_cells(
    cells: Iterable[nn.Module], previous_previous: Tensor, previous: Tensor
) -> Sequence[Tensor]:
    """Return the output of each cell, which reads those of the two before it."""
    outputs = [previous_previous, previous]
    for cell in cells:
        outputs.append(cell(*outputs[-2:]))
    return outputs[2:]


def _keep_probability(progress: float | Tensor, *, final: float) -> float | Tensor:
    return 1 - progress * (1 - final) if final < 1 else 1.0


def set_keep_(cells: nn.Module, keep: float | Tensor) -> None:
    """Let every path be kept with this probability; the same at every depth, as in DARTS' code."""
    for module in cells.modules():
        if isinstance(module, DropPath):
            module.keep = keep
