"""DenseNet under torchvision's names.

Source: Huang et al. 2017, "Densely Connected Convolutional Networks" (arXiv 1608.06993), table 1
and section 3: the form with bottlenecks and compression, DenseNet-BC.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from autoseg.networks.encoders.dilation import dilate_
from autoseg.networks.encoders.encoder import Encoder
from autoseg.networks.initialise import initialise_
from autoseg.networks.width import scale_channels
from autoseg.ops import reads_image

BOTTLENECK = 4
"""Channels of a layer's 1x1 convolution, in growth rates."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseNetSize:
    """One column of table 1."""

    num_layers: tuple[int, int, int, int]
    """Layers in each of the four blocks."""
    growth_rate: int = 32
    """k, the channels that a layer adds."""
    stem_channels: int = 64
    """Channels of the 7x7 convolution."""


DENSENET121 = DenseNetSize(num_layers=(6, 12, 24, 16))
DENSENET161 = DenseNetSize(num_layers=(6, 12, 36, 24), growth_rate=48, stem_channels=96)
DENSENET169 = DenseNetSize(num_layers=(6, 12, 32, 32))
DENSENET201 = DenseNetSize(num_layers=(6, 12, 48, 32))


class DenseLayer(nn.Module):
    """Compute k new channels from all channels before."""

    def __init__(self, in_channels: int, growth_rate: int) -> None:
        super().__init__()
        channels = BOTTLENECK * growth_rate
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, growth_rate, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to the new channels alone, (N, k, H, W)."""
        inner = self.conv1(self.relu(self.norm1(features)))
        return self.conv2(self.relu(self.norm2(inner)))


class DenseBlock(nn.Module):
    """Layers of which each reads the block's input and the new channels of all before it."""

    def __init__(self, num_layers: int, in_channels: int, growth_rate: int) -> None:
        super().__init__()
        for index in range(num_layers):
            layer = DenseLayer(in_channels + index * growth_rate, growth_rate)
            self.add_module(f"denselayer{index + 1}", layer)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, in_channels + num_layers * k, H, W)."""
        for layer in self.children():
            features = torch.cat([features, layer(features)], dim=1)
        return features


class DenseNet(Encoder):
    """DenseNet with torchvision's state dict, or without its classifier.

    A stage's map is its block's, after the batch norm and ReLU that follow each block: those of the
    transition in stages 1 to 3, before its convolution halves the channels.
    """

    classifier_parts: ClassVar[tuple[str, ...]] = ("classifier",)

    def __init__(
        self,
        size: DenseNetSize,
        *,
        num_classes: int | None = 1000,
        output_stride: int = 32,
        width: float = 1.0,
    ) -> None:
        """Build the network.

        Args:
            size: Layers, growth rate and stem.
            num_classes: Classes of the whole image; None leaves the linear layer out.
            output_stride: 8, 16 or 32.
            width: Factor on the growth rate and the stem's channels, by `scale_channels`.
        """
        super().__init__()
        self.output_stride = output_stride
        growth_rate = scale_channels(size.growth_rate, width)
        channels = scale_channels(size.stem_channels, width)
        self.features = nn.Sequential(
            OrderedDict(
                conv0=reads_image(nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False)),
                norm0=nn.BatchNorm2d(channels),
                relu0=nn.ReLU(inplace=True),
                pool0=nn.MaxPool2d(3, stride=2, padding=1),
            )
        )
        stage_channels: list[int] = []
        for stage, num_layers in enumerate(size.num_layers, start=1):
            block = DenseBlock(num_layers, channels, growth_rate)
            self.features.add_module(f"denseblock{stage}", block)
            channels += num_layers * growth_rate
            stage_channels.append(channels)
            if stage < 4:
                self.features.add_module(f"transition{stage}", _transition(channels))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.stage_channels = tuple(stage_channels)
        self.classifier = None if num_classes is None else nn.Linear(channels, num_classes)
        dilate_(self.features, output_stride=output_stride)
        initialise_(self)

    def maps(self, images: Tensor, *, stages: Sequence[int]) -> list[Tensor]:
        """Compute the maps of `stages`; see `Encoder`. Transitions round odd sizes down."""
        parts = dict(self.features.named_children())
        features = images
        for name in ("conv0", "norm0", "relu0", "pool0"):
            features = parts[name](features)
        kept: list[Tensor] = []
        for stage in range(1, max(stages) + 1):
            features = parts[f"denseblock{stage}"](features)
            if stage == 4:
                kept.append(parts["norm5"](features).relu())
                break
            norm, relu, convolution, pool = parts[f"transition{stage}"].children()
            kept.append(relu(norm(features)))
            if stage < max(stages):
                features = pool(convolution(kept[-1]))
        return [kept[stage - 1] for stage in stages]

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, num_classes), or headless to stage 4's map."""
        (last,) = self.maps(images, stages=(4,))
        return last if self.classifier is None else self.classifier(last.mean(dim=(2, 3)))


def _transition(channels: int) -> nn.Sequential:
    """Build what lies between two blocks: half the channels, half the rows and columns."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(channels),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(channels, channels // 2, 1, bias=False),
            pool=nn.AvgPool2d(2, stride=2),
        )
    )
