"""The network that an architecture stands for."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Self

from torch import Tensor, nn

from autoseg.architecture import Architecture
from autoseg.architecture.limits import MAX_CHANNELS
from autoseg.errors import UsageError
from autoseg.networks.deeplabv3 import pyramid_rates
from autoseg.networks.derived_cell import DerivedCell, build_cell
from autoseg.networks.drop_path import DropPath, keep_probability
from autoseg.networks.initialise import initialise_
from autoseg.networks.width import scale_channels
from autoseg.ops import ASPP, Stem, conv_bn_relu, join_at_stride_4, resize, strided


def low_level_cell(num_layers: int) -> int:
    """Return the cell whose output the decoder reads: the third; in a shorter network the last."""
    return min(2, num_layers - 1)


class AutoDeepLab(nn.Module):
    """Stem, the cells along the path, ASPP, and DeepLab v3+'s decoder.

    With the paper's architecture the parameters are exactly 10,147,427 / 21,622,451 / 44,424,691
    for filter multipliers 20 / 32 / 48 and 19 classes (published: 10.15 / 21.62 / 44.42 M).

    Source: Auto-DeepLab, arXiv 1901.02985, section 5.2 and table 2.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        num_classes: int,
        filter_multiplier: int = 20,
        width: float = 1.0,
        drop_path_keep: float = 1.0,
    ) -> None:
        """Build the network with random weights.

        Args:
            architecture: What a search found, or a published one.
            num_classes: K.
            filter_multiplier: F; a node at stride s has F * s / 4 channels.
            width: Factor on the channels that F does not decide: stem (64, 64, 128), ASPP and
                decoder (256), the decoder's early map (48).
            drop_path_keep: p of ScheduledDropPath; 1 switches it off.

        Raises:
            UsageError: If F is below 1, or gives a cell more than `MAX_CHANNELS` channels.
        """
        super().__init__()
        widest = architecture.num_nodes * (filter_multiplier * max(architecture.path) // 4)
        if not filter_multiplier >= 1 or widest > MAX_CHANNELS:
            raise UsageError(
                f"AutoDeepLab: filter_multiplier {filter_multiplier}; it must be at least 1, and a "
                f"cell of {architecture.num_nodes} nodes at stride {max(architecture.path)} may "
                f"have {MAX_CHANNELS:,} channels."
            )
        self.architecture = architecture
        self.drop_path_keep = drop_path_keep
        stem_channels = [scale_channels(channels, width) for channels in (64, 64, 128)]
        head_channels, low_level_channels = (scale_channels(c, width) for c in (256, 48))
        self.stem = Stem((stem_channels[0], stem_channels[1], stem_channels[2]))
        self.cells = nn.ModuleList()
        widths = [stem_channels[1], stem_channels[2]]
        for before, stride in pairwise((4, *architecture.path)):
            channels = filter_multiplier * stride // 4
            self.cells.append(
                build_cell(
                    architecture.cell,
                    channels,
                    previous_previous_channels=widths[-2],
                    previous_channels=widths[-1],
                    stride=2 if stride > before else 1,
                )
            )
            widths.append(architecture.num_nodes * channels)
        self.low_level_cell = low_level_cell(architecture.num_layers)

        self.aspp = ASPP(widths[-1], head_channels, rates=pyramid_rates(architecture.path[-1]))
        self.low_level = conv_bn_relu(widths[2 + self.low_level_cell], low_level_channels)
        self.decoder = nn.Sequential(
            conv_bn_relu(low_level_channels + head_channels, head_channels, 3),
            conv_bn_relu(head_channels, head_channels, 3),
        )
        self.classifier = nn.Conv2d(head_channels, num_classes, 1)
        initialise_(self)
        self.set_training_progress(0.0)

    @classmethod
    def from_parts(
        cls,
        architecture: Architecture,
        *,
        stem: Stem,
        cells: Sequence[DerivedCell],
        aspp: ASPP,
        low_level: nn.Sequential,
        decoder: nn.Sequential,
        classifier: nn.Conv2d,
    ) -> Self:
        """Put a network together from parts that exist, and that other networks may share."""
        network = cls.__new__(cls)
        nn.Module.__init__(network)
        network.architecture = architecture
        network.drop_path_keep = 1.0
        network.stem = stem
        network.cells = nn.ModuleList(cells)
        network.low_level_cell = low_level_cell(architecture.num_layers)
        network.aspp, network.low_level = aspp, low_level
        network.decoder, network.classifier = decoder, classifier
        return network

    def set_training_progress(self, progress: float | Tensor) -> None:
        """Set the keep probability of every operation for this share of the training, in [0, 1]."""
        progress = progress if self.drop_path_keep < 1 else 0.0
        for layer, cell in enumerate(self.cells):
            keep = keep_probability(progress, layer, len(self.cells), final=self.drop_path_keep)
            for module in cell.modules():
                if isinstance(module, DropPath):
                    module.keep = keep

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the output of each cell, (N, channels, H_s, W_s) at the cell's stride s.

        The grid of stride s is the image's size, halved and rounded up log2(s) times.
        """
        half, quarter = self.stem(images)
        sizes = {4: tuple(quarter.shape[2:])}
        for stride in self.architecture.strides[1:]:
            height, width = sizes[stride // 2]
            sizes[stride] = (strided(height, 2), strided(width, 2))
        outputs = [half, quarter]
        strides = pairwise((4, *self.architecture.path))
        for cell, (before, stride) in zip(self.cells, strides, strict=True):
            outputs.append(cell(outputs[-2], outputs[-1], sizes[min(before, stride)]))
        return outputs[2:]

    def forward(self, images: Tensor) -> Tensor:
        """Predict classes.

        Args:
            images: Normalised images, (N, 3, H, W), any H and W.

        Returns:
            Logits, (N, K, H, W).
        """
        features = self.features(images)
        low_level = self.low_level(features[self.low_level_cell])
        joined = join_at_stride_4(self.aspp(features[-1]), low_level, images.shape[2:])
        logits = self.classifier(self.decoder(joined))
        return resize(logits, images.shape[2:], align_corners=True)
