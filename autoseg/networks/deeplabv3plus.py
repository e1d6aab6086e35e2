"""DeepLab v3+ over a ResNet.

The form with which the paper reports its best ResNet decoder: standard convolutions throughout, and
two of them in the decoder. Choices the paper leaves open, or that implementations take differently:

- Stage 4 has DeepLab v3's multi-grid (1, 2, 4) over the stage's rate of 2, hence rates 2, 4, 8.
- The stride is on each block's 3x3 convolution (torchvision), so that torchvision's ImageNet
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

from autoseg.networks.initialise import initialise_
from autoseg.networks.resnet import RESNET50, RESNET101, ResNet
from autoseg.networks.width import scale_channels
from autoseg.ops import ASPP, conv_bn_relu, resize

ASPP_RATES = (6, 12, 18)
MULTI_GRID = (1, 2, 4)
OUTPUT_STRIDE = 16


class DeepLabV3Plus(nn.Module):
    """Encode at stride 16, look at several scales, and refine with the map at stride 4."""

    def __init__(
        self,
        encoder: ResNet,
        *,
        num_classes: int,
        context_channels: int = 256,
        low_level_channels: int = 48,
    ) -> None:
        """Put the network together.

        Args:
            encoder: Encoder at output stride 16.
            num_classes: K, the number of evaluated classes.
            context_channels: Channels of ASPP's branches and of the decoder.
            low_level_channels: Channels to which stage 1's map is reduced, few enough not to
                outweigh the context.
        """
        super().__init__()
        self.encoder = encoder
        self.aspp = ASPP(encoder.stage_channels[3], context_channels, rates=ASPP_RATES)
        self.low_level = conv_bn_relu(encoder.stage_channels[0], low_level_channels)
        self.decoder = nn.Sequential(
            conv_bn_relu(context_channels + low_level_channels, context_channels, 3),
            conv_bn_relu(context_channels, context_channels, 3),
        )
        self.classifier = nn.Conv2d(context_channels, num_classes, 1)
        for part in (self.aspp, self.low_level, self.decoder, self.classifier):
            initialise_(part)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) of any size to logits (N, K, H, W)."""
        low_level, features = self.encoder.features(images, stages=(1, 4))
        low_level = self.low_level(low_level)
        context = resize(self.aspp(features), low_level.shape[2:], align_corners=True)
        refined = self.decoder(torch.cat([context, low_level], dim=1))
        return resize(self.classifier(refined), images.shape[2:], align_corners=True)


def deeplabv3plus_resnet101(num_classes: int, *, width: float = 1.0) -> DeepLabV3Plus:
    """Build DeepLab v3+ over ResNet-101: 59,344,309 parameters at 21 classes and width 1."""
    return _deeplabv3plus(RESNET101, num_classes=num_classes, width=width)


def deeplabv3plus_resnet50(num_classes: int, *, width: float = 1.0) -> DeepLabV3Plus:
    """Build DeepLab v3+ over ResNet-50: 40,352,181 parameters at 21 classes and width 1."""
    return _deeplabv3plus(RESNET50, num_classes=num_classes, width=width)


def _deeplabv3plus(num_blocks: Sequence[int], *, num_classes: int, width: float) -> DeepLabV3Plus:
    encoder = ResNet(
        num_blocks,
        output_stride=OUTPUT_STRIDE,
        # Unlike torchvision's plain atrous network, the first block takes the stage's rate as well.
        rates={4: [32 // OUTPUT_STRIDE * unit for unit in MULTI_GRID]},
        width=width,
    )
    return DeepLabV3Plus(
        encoder,
        num_classes=num_classes,
        context_channels=scale_channels(256, width),
        low_level_channels=scale_channels(48, width),
    )
