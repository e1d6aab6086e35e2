"""DeepLab v3+ over a ResNet, MobileNetV2 or the aligned Xception.

Over ResNet and MobileNetV2: the form with which the paper reports its best ResNet decoder, standard
convolutions throughout, and two of them in the decoder. Over Xception: the form of the authors'
TensorFlow release, in which the pyramid and the decoder are depthwise separable. Choices the paper
leaves open, or that implementations take differently:

- ResNet's stage 4 has DeepLab v3's multi-grid (1, 2, 4) over the stage's rate of 2, hence rates
  2, 4, 8. The other encoders have none.
- ResNet's stride is on each block's 3x3 convolution (torchvision), so that torchvision's ImageNet
  weights fit. On the first 1x1 the network needs 0.818 G fewer MACs at 513 x 513.
- Resizing aligns the corner pixels' centres, as the authors' TensorFlow code does.
- No dropout; the paper mentions none.

Source: Chen et al. 2018, "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
Segmentation" (arXiv 1802.02611), sections 3.1 and 4; Chen et al. 2017, "Rethinking Atrous
Convolution for Semantic Image Segmentation" (arXiv 1706.05587), for ASPP and multi-grid.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autoseg.networks.deeplabv3 import multi_grid_resnet, pyramid_rates
from autoseg.networks.encoders import ENCODERS
from autoseg.networks.encoders.encoder import Encoder
from autoseg.networks.encoders.resnet import RESNET50, RESNET101
from autoseg.networks.initialise import initialise_
from autoseg.networks.width import scale_channels
from autoseg.ops import ASPP, conv_bn_relu, resize, separable_conv_bn_relu


class DeepLabV3Plus(nn.Module):
    """Encode at stride 16, look at several scales, and refine with the map at stride 4."""

    def __init__(
        self,
        encoder: Encoder,
        *,
        num_classes: int,
        output_stride: int = 16,
        context_channels: int = 256,
        low_level_channels: int = 48,
        is_separable: bool = False,
    ) -> None:
        """Put the network together.

        Args:
            encoder: Encoder at that output stride.
            num_classes: K, the number of evaluated classes.
            output_stride: The encoder's stride, which decides the pyramid's rates.
            context_channels: Channels of ASPP's branches and of the decoder.
            low_level_channels: Channels to which stage 1's map is reduced, few enough not to
                outweigh the context.
            is_separable: Make the 3x3 convolutions of pyramid and decoder depthwise separable.
        """
        super().__init__()
        convolve = separable_conv_bn_relu if is_separable else conv_bn_relu
        self.encoder = encoder
        self.aspp = ASPP(
            encoder.stage_channels[3],
            context_channels,
            rates=pyramid_rates(output_stride),
            is_separable=is_separable,
        )
        self.low_level = conv_bn_relu(encoder.stage_channels[0], low_level_channels)
        self.decoder = nn.Sequential(
            convolve(context_channels + low_level_channels, context_channels, 3),
            convolve(context_channels, context_channels, 3),
        )
        self.classifier = nn.Conv2d(context_channels, num_classes, 1)
        for part in (self.aspp, self.low_level, self.decoder, self.classifier):
            initialise_(part)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) of any size to logits (N, K, H, W)."""
        low_level, features = self.encoder.maps(images, stages=(1, 4))
        low_level = self.low_level(low_level)
        context = resize(self.aspp(features), low_level.shape[2:], align_corners=True)
        refined = self.decoder(torch.cat([context, low_level], dim=1))
        return resize(self.classifier(refined), images.shape[2:], align_corners=True)


def deeplabv3plus_resnet101(
    num_classes: int, *, output_stride: int = 16, width: float = 1.0
) -> DeepLabV3Plus:
    """Build DeepLab v3+ over ResNet-101: 59,344,309 parameters at 21 classes and width 1."""
    return _over_resnet(RESNET101, num_classes, output_stride=output_stride, width=width)


def deeplabv3plus_resnet50(
    num_classes: int, *, output_stride: int = 16, width: float = 1.0
) -> DeepLabV3Plus:
    """Build DeepLab v3+ over ResNet-50: 40,352,181 parameters at 21 classes and width 1."""
    return _over_resnet(RESNET50, num_classes, output_stride=output_stride, width=width)


def deeplabv3plus_mobilenet_v2(
    num_classes: int, *, output_stride: int = 16, width: float = 1.0
) -> DeepLabV3Plus:
    """Build DeepLab v3+ over MobileNetV2: 5,816,053 parameters at 21 classes and width 1."""
    encoder = ENCODERS["mobilenet_v2"](num_classes=None, output_stride=output_stride, width=width)
    return _deeplabv3plus(encoder, num_classes, output_stride=output_stride, width=width)


def deeplabv3plus_xception65(
    num_classes: int, *, output_stride: int = 16, width: float = 1.0
) -> DeepLabV3Plus:
    """Build DeepLab v3+ over Xception-65: 41,055,413 parameters at 21 classes and width 1."""
    encoder = ENCODERS["xception65"](num_classes=None, output_stride=output_stride, width=width)
    return _deeplabv3plus(
        encoder, num_classes, output_stride=output_stride, width=width, is_separable=True
    )


def deeplabv3plus_over(encoder: Encoder, num_classes: int, *, width: float = 1.0) -> DeepLabV3Plus:
    """Build DeepLab v3+ over any encoder, with the decoder of the paper's ResNet form.

    Args:
        encoder: Any; the paper's have output stride 16 or 8.
        num_classes: K, the number of evaluated classes.
        width: Factor on the decoder's channel counts, by `scale_channels`.
    """
    return _deeplabv3plus(encoder, num_classes, output_stride=encoder.output_stride, width=width)


def _over_resnet(
    num_blocks: Sequence[int], num_classes: int, *, output_stride: int, width: float
) -> DeepLabV3Plus:
    encoder = multi_grid_resnet(num_blocks, output_stride=output_stride, width=width)
    return _deeplabv3plus(encoder, num_classes, output_stride=output_stride, width=width)


def _deeplabv3plus(
    encoder: Encoder,
    num_classes: int,
    *,
    output_stride: int,
    width: float,
    is_separable: bool = False,
) -> DeepLabV3Plus:
    return DeepLabV3Plus(
        encoder,
        num_classes=num_classes,
        output_stride=output_stride,
        context_channels=scale_channels(256, width),
        low_level_channels=scale_channels(48, width),
        is_separable=is_separable,
    )
