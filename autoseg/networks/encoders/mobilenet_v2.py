"""MobileNetV2 under torchvision's names.

Source: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks"
(arXiv 1801.04381), table 2.
"""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from autoseg.networks.encoders.dilation import dilate_
from autoseg.networks.encoders.encoder import Encoder, maps_after
from autoseg.networks.initialise import initialise_
from autoseg.networks.width import scale_channels
from autoseg.ops import conv_bn, reads_image

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
# Expansion t, channels c, repetitions n, stride s of the first: table 2.
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STAGE_ENDS = (3, 6, 13, 17)
"""Position among `features` of the last block at stride 4, 8, 16 and 32."""


class InvertedResidual(nn.Module):
    """Expand by a 1x1 convolution, look around a channel at a time, and reduce without a ReLU."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, expansion: int) -> None:
        """Build the block.

        Args:
            in_channels: Channels of the input.
            out_channels: Channels of the output; where they are the input's and the stride is 1,
                the input is added.
            stride: Stride of the depthwise convolution.
            expansion: Factor on the channels in between; 1 leaves the first convolution out.
        """
        super().__init__()
        channels = expansion * in_channels
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(_conv_bn_relu6(in_channels, channels))
        layers.append(_conv_bn_relu6(channels, channels, 3, stride=stride, groups=channels))
        self.conv = nn.Sequential(*layers, *conv_bn(channels, out_channels))
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        residual = self.conv(features)
        return features + residual if self.has_shortcut else residual


class MobileNetV2(Encoder):
    """MobileNetV2 with torchvision's state dict, or its bottlenecks alone.

    Headless it ends with the last bottleneck's 320 channels: 1,811,712 parameters. The 1x1
    convolution to 1280 channels is the classifier's, as in DeepLab.
    """

    classifier_parts: ClassVar[tuple[str, ...]] = ("features.18", "classifier")

    def __init__(
        self, *, num_classes: int | None = 1000, output_stride: int = 32, width: float = 1.0
    ) -> None:
        """Build the network.

        Args:
            num_classes: Classes of the whole image; None leaves the last two layers out.
            output_stride: 8, 16 or 32.
            width: Factor on all channel counts, by `scale_channels` (not the paper's multiplier,
                which rounds to multiples of 8).
        """
        super().__init__()
        self.output_stride = output_stride
        channels = scale_channels(STEM_CHANNELS, width)
        layers: list[nn.Module] = [reads_image(_conv_bn_relu6(3, channels, 3, stride=2))]
        ends: list[int] = []
        for expansion, full_channels, count, first_stride in BLOCKS:
            out_channels = scale_channels(full_channels, width)
            for block in range(count):
                stride = first_stride if block == 0 else 1
                layers.append(
                    InvertedResidual(channels, out_channels, stride=stride, expansion=expansion)
                )
                channels = out_channels
            ends.append(channels)
        self.stage_channels = (ends[1], ends[2], ends[4], ends[6])
        self.features = nn.Sequential(*layers)
        self.classifier = None
        if num_classes is not None:
            head_channels = scale_channels(HEAD_CHANNELS, width)
            self.features.append(_conv_bn_relu6(channels, head_channels))
            self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(head_channels, num_classes))
        dilate_(self.features, output_stride=output_stride)
        initialise_(self)

    def maps(self, images: Tensor, *, stages: Sequence[int]) -> list[Tensor]:
        """Compute the maps of `stages`; see `Encoder`. Odd sizes are rounded up."""
        return maps_after(self.features, images, ends=STAGE_ENDS, stages=stages)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, num_classes), or headless to stage 4's map."""
        last = self.features(images)
        return last if self.classifier is None else self.classifier(last.mean(dim=(2, 3)))


def _conv_bn_relu6(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    *,
    stride: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    layers = conv_bn(in_channels, out_channels, kernel_size, stride=stride, groups=groups)
    return nn.Sequential(*layers, nn.ReLU6(inplace=True))
