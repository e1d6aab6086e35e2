"""GoogLeNet under torchvision's names.

As torchvision's, and unlike the paper's, it has batch norm after every convolution, and the branch
of 5x5 convolutions has 3x3 ones.

Source: Szegedy et al. 2015, "Going Deeper with Convolutions" (arXiv 1409.4842), table 1.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.networks.encoders.dilation import dilate_
from autoseg.networks.encoders.encoder import Encoder, maps_after
from autoseg.networks.encoders.named_block import named_conv_bn_relu
from autoseg.networks.initialise import initialise_
from autoseg.networks.width import scale_channels
from autoseg.ops import reads_image

# Channels of the branches: 1x1; 1x1 and 3x3; 1x1 and the second 3x3; 1x1 after the pooling.
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
LAYERS = (
    *("conv1", "maxpool1", "conv2", "conv3", "maxpool2"),
    *("inception3a", "inception3b", "maxpool3"),
    *("inception4a", "inception4b", "inception4c", "inception4d", "inception4e", "maxpool4"),
    *("inception5a", "inception5b"),
)
"""The layers in the order in which they run."""


class GoogLeNetLogits(NamedTuple):
    """Logits of the whole image in training, with those of the two auxiliary heads.

    The loss is CE(logits) + 0.3 * (CE(aux2) + CE(aux1)): section 5 of the paper.
    """

    logits: Tensor
    """(N, num_classes)."""
    aux2: Tensor
    """Logits of the auxiliary classifier behind block 4d, (N, num_classes)."""
    aux1: Tensor
    """Logits of the auxiliary classifier behind block 4a, (N, num_classes)."""


class Inception(nn.Module):
    """Look at the same map through four branches, and put their channels together."""

    def __init__(self, in_channels: int, channels: Sequence[int]) -> None:
        """Build the block.

        Args:
            in_channels: Channels of the input.
            channels: Channels of the branches, in the order of `INCEPTIONS`.
        """
        super().__init__()
        single, reduce3, around3, reduce5, around5, pooled = channels
        self.out_channels = single + around3 + around5 + pooled
        self.branch1 = named_conv_bn_relu(in_channels, single)
        self.branch2 = nn.Sequential(
            named_conv_bn_relu(in_channels, reduce3), named_conv_bn_relu(reduce3, around3, 3)
        )
        self.branch3 = nn.Sequential(
            named_conv_bn_relu(in_channels, reduce5), named_conv_bn_relu(reduce5, around5, 3)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), named_conv_bn_relu(in_channels, pooled)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return torch.cat([branch(features) for branch in branches], dim=1)


class AuxiliaryHead(nn.Module):
    """Classify the whole image from a map in the middle; used in training alone."""

    def __init__(self, in_channels: int, num_classes: int, *, width: float) -> None:
        super().__init__()
        channels, hidden = scale_channels(128, width), scale_channels(1024, width)
        self.conv = named_conv_bn_relu(in_channels, channels)
        self.fc1 = nn.Linear(4 * 4 * channels, hidden)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(hidden, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to logits (N, num_classes)."""
        pooled = self.conv(F.adaptive_avg_pool2d(features, 4))
        return self.fc2(self.dropout(self.fc1(pooled.flatten(1)).relu()))


class GoogLeNet(Encoder):
    """GoogLeNet with torchvision's state dict, or without its classifiers."""

    classifier_parts: ClassVar[tuple[str, ...]] = ("fc", "aux1", "aux2")

    def __init__(
        self,
        *,
        num_classes: int | None = 1000,
        has_auxiliary: bool = False,
        is_input_halved: bool = False,
        output_stride: int = 32,
        width: float = 1.0,
    ) -> None:
        """Build the network.

        Args:
            num_classes: Classes of the whole image; None leaves all classifiers out.
            has_auxiliary: Build the two auxiliary heads, which take part in training alone.
            is_input_halved: Turn images normalised with ImageNet's statistics into ones normalised
                with mean and deviation 0.5, for which torchvision's weights were trained.
            output_stride: 8, 16 or 32.
            width: Factor on all channel counts, by `scale_channels`.
        """
        super().__init__()
        self.output_stride = output_stride
        self.is_input_halved = is_input_halved
        first, second, third = (scale_channels(count, width) for count in (64, 64, 192))
        self.conv1 = reads_image(named_conv_bn_relu(3, first, 7, stride=2))
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = named_conv_bn_relu(first, second)
        self.conv3 = named_conv_bn_relu(second, third, 3)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        channels, in_auxiliary, stage_channels = third, [], [third]
        for name, full_channels in INCEPTIONS.items():
            block = Inception(channels, [scale_channels(count, width) for count in full_channels])
            channels = block.out_channels
            self.add_module(f"inception{name}", block)
            if name in ("4a", "4d"):
                in_auxiliary.append(channels)
            if name in ("3b", "4e", "5b"):
                stage_channels.append(channels)
            if name == "3b":
                self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
            if name == "4e":
                self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.stage_channels = tuple(stage_channels)
        dilate_(self, output_stride=output_stride)
        self.aux1 = self.aux2 = self.fc = None
        if num_classes is not None:
            if has_auxiliary:
                self.aux1, self.aux2 = (
                    AuxiliaryHead(count, num_classes, width=width) for count in in_auxiliary
                )
            self.dropout = nn.Dropout(0.2)
            self.fc = nn.Linear(channels, num_classes)
        initialise_(self)

    def maps(self, images: Tensor, *, stages: Sequence[int]) -> list[Tensor]:
        """Compute the maps of `stages`; see `Encoder`. Odd sizes are rounded up.

        A stage ends before the pooling that begins the next.
        """
        return self._after(("conv3", "inception3b", "inception4e", "inception5b"), images, stages)

    def forward(self, images: Tensor) -> Tensor | GoogLeNetLogits:
        """Map images (N, 3, H, W) to logits (N, num_classes), or headless to stage 4's map.

        In training with auxiliary heads the result is `GoogLeNetLogits`.
        """
        parts = ("inception4a", "inception4d", "inception5b")
        early, late, last = self._after(parts, images, (1, 2, 3))
        if self.fc is None:
            return last
        logits = self.fc(self.dropout(last.mean(dim=(2, 3))))
        if not self.training or self.aux1 is None or self.aux2 is None:
            return logits
        return GoogLeNetLogits(logits, self.aux2(late), self.aux1(early))

    def _after(self, names: Sequence[str], images: Tensor, wanted: Sequence[int]) -> list[Tensor]:
        """Give the maps after the `wanted` ones, from 1, of the named layers."""
        if self.is_input_halved:
            images = _with_half_statistics(images)
        layers = [self.get_submodule(name) for name in LAYERS]
        ends = [LAYERS.index(name) for name in names]
        return maps_after(layers, images, ends=ends, stages=wanted)


def _with_half_statistics(images: Tensor) -> Tensor:
    """Undo ImageNet's normalisation, and normalise with mean and deviation 0.5."""
    # Channel by channel: a tensor of these numbers would be sent to a GPU, and waited for.
    statistics = zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)
    channels = [
        (channel * deviation + mean - 0.5) / 0.5
        for channel, (mean, deviation) in zip(images.unbind(dim=1), statistics, strict=True)
    ]
    return torch.stack(channels, dim=1)
