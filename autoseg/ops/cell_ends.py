"""What comes before and after a stack of cells: in classification, and in segmentation.

Source: DARTS, arXiv 1806.09055, section A.1, with the authors' code; DeepLab v3+, arXiv 1802.02611,
section 3.1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autoseg.ops.aspp import ASPP
from autoseg.ops.blocks import conv_bn, conv_bn_relu
from autoseg.ops.cell_stack import StemShape
from autoseg.ops.resize import resize, strided


class ClassifierStem(nn.Module):
    """A 3x3 convolution to 3C channels and batch norm: both inputs of the first cell (CIFAR-10)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv_bn(3, 3 * channels, 3)
        self.shape = StemShape(3 * channels, 3 * channels, halves=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, 3, H, W) to (N, 3C, H, W), twice."""
        features = self.conv(images)
        return features, features


class PooledClassifier(nn.Module):
    """Mean over the map, then a linear layer."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to logits, (N, K)."""
        return self.linear(features.mean(dim=(2, 3)))


class AuxiliaryClassifier(nn.Sequential):
    """DARTS' training-only classifier over the map of 8 x 8 pixels after the second reduction."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(
            nn.ReLU(),
            nn.AvgPool2d(5, stride=3, count_include_pad=False),  # 8 x 8 -> 2 x 2
            *conv_bn_relu(channels, 128),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(768, num_classes),
        )


class DecoderHead(nn.Module):
    """ASPP over the deepest map, joined at stride 4 with an early one; DeepLab v3+'s decoder."""

    def __init__(
        self,
        *,
        deep_channels: int,
        early_channels: int,
        channels: int,
        low_level_channels: int,
        num_classes: int,
        rates: Sequence[int],
    ) -> None:
        """Build the head.

        Args:
            deep_channels: Channels of the deepest map.
            early_channels: Channels of the early map.
            channels: Channels of ASPP and of the decoder; 256 in the paper.
            low_level_channels: Channels that the early map is projected to; 48 in the paper.
            num_classes: K.
            rates: Atrous rates of ASPP.
        """
        super().__init__()
        self.aspp = ASPP(deep_channels, channels, rates=rates)
        self.low_level = conv_bn_relu(early_channels, low_level_channels)
        self.decoder = nn.Sequential(
            conv_bn_relu(low_level_channels + channels, channels, 3),
            conv_bn_relu(channels, channels, 3),
        )
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, deep: Tensor, early: Tensor, image_size: Sequence[int]) -> Tensor:
        """Return logits, (N, K, *image_size)."""
        joined = join_at_stride_4(self.aspp(deep), self.low_level(early), image_size)
        return resize(self.classifier(self.decoder(joined)), image_size, align_corners=True)


def join_at_stride_4(deep: Tensor, early: Tensor, image_size: Sequence[int]) -> Tensor:
    """Resize two maps, whatever their strides, to the grid of stride 4, and concatenate them.

    Args:
        deep: (N, C, H, W).
        early: (N, c, h, w).
        image_size: Height and width of the images.

    Returns:
        (N, C + c, ceil(ceil(height / 2) / 2), ...).
    """
    size = [strided(side, 4) for side in image_size]
    maps = [resize(each, size, align_corners=True) for each in (deep, early)]
    return torch.cat(maps, dim=1)
