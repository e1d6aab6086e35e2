"""Dense upsampling convolution over a ResNet with hybrid dilated convolution.

Built as the authors released it (TuSimple-DUC, the Cityscapes configuration):

- Encoder at output stride 8: three 3x3 convolutions as the stem, strides on the first 1x1, and
  rates that do not share a factor within a group, so that no pixel of the neighbourhood is missed.
  Stage 3 begins 2, 2, 5, 9; the groups after it are 1, 2, 5, 9.
- Four 3x3 convolutions with bias go straight to the logits and are summed. No batch norm and no
  ReLU touches the logits.
- Each cell of `cell` x `cell` pixels shares a prediction: the map has (8 / cell)^2 channels a
  class, rearranged without any arithmetic, then enlarged once, bilinearly, by `cell`.

Deviations: batch norm learns its statistics (the release froze ImageNet's), the max pooling pads by
one pixel as torchvision's does (the release pads none), and training scores the enlarged logits
against the full labels (the release scores the cells against labels subsampled by `cell`), so that
one recipe serves every network.

Source: Wang et al. 2018, "Understanding Convolution for Semantic Segmentation"
(arXiv 1702.08502), sections 3.1 and 3.2.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.errors import UsageError
from autoseg.networks.initialise import initialise_
from autoseg.networks.resnet import RESNET101, ResNet
from autoseg.ops import resize

OUTPUT_STRIDE = 8
HDC_RATES = {3: (2, 2, 5, 9, *(1, 2, 5, 9) * 4, 1, 2, 5), 4: (5, 9, 17)}
"""Atrous rate of each block of ResNet-101's stages 3 and 4."""
CONTEXT_RATES = (6, 12, 18, 24)


class DenseUpsampling(nn.Module):
    """Predict, at each position of a coarse map, all the logits of the square that it covers."""

    def __init__(self, in_channels: int, num_classes: int, *, upsampling: int) -> None:
        """Build the four context convolutions.

        Args:
            in_channels: Channels of the coarse map.
            num_classes: K, the number of evaluated classes.
            upsampling: Side of the square, in positions of the finer map.
        """
        super().__init__()
        self.context = nn.ModuleList(
            nn.Conv2d(in_channels, upsampling**2 * num_classes, 3, padding=rate, dilation=rate)
            for rate in CONTEXT_RATES
        )
        # Channel (class * upsampling + dy) * upsampling + dx, as in the release's predictor.
        self.shuffle = nn.PixelShuffle(upsampling)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, h, w) to logits (N, K, upsampling * h, upsampling * w)."""
        first, *others = (convolve(features) for convolve in self.context)
        # (N, K * upsampling^2, h, w) -> (N, K, upsampling * h, upsampling * w)
        return self.shuffle(sum(others, start=first))


class DUCHDC(nn.Module):
    """Encode at stride 8 with hybrid rates, and predict all pixels of each position at once."""

    def __init__(self, encoder: ResNet, *, num_classes: int, cell: int = 2) -> None:
        """Put the network together.

        Args:
            encoder: Encoder at output stride 8.
            num_classes: K, the number of evaluated classes.
            cell: Side of the square of pixels that share a prediction: 1, 2, 4 or 8.

        Raises:
            UsageError: If `cell` does not divide the output stride.
        """
        super().__init__()
        if cell not in (1, 2, 4, 8):
            raise UsageError(f"DUCHDC: cell {cell} does not divide 8; use 1, 2, 4 or 8.")
        self.encoder = encoder
        self.cell = cell
        self.upsample = DenseUpsampling(
            encoder.stage_channels[3], num_classes, upsampling=OUTPUT_STRIDE // cell
        )
        initialise_(self.upsample)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) of any size to logits (N, K, H, W).

        The image is padded below and on the right to a multiple of 8 with zeros (the mean colour),
        and the logits are cropped after the last enlargement: cropping before it would have to
        stretch odd sizes.
        """
        height, width = images.shape[2:]
        padded = F.pad(images, (0, -width % OUTPUT_STRIDE, 0, -height % OUTPUT_STRIDE))
        cells = self.upsample(self.encoder(padded))
        # Half-pixel centres: a cell is the square of pixels that it covers.
        logits = resize(cells, padded.shape[2:], align_corners=False)
        return logits[:, :, :height, :width]


def duc_hdc_resnet101(num_classes: int, *, width: float = 1.0) -> DUCHDC:
    """Build DUC-HDC over ResNet-101 with cell 2: 65,038,464 parameters at 19 classes, width 1."""
    encoder = ResNet(
        RESNET101,
        stem="3x3",
        stride_on="1x1",
        output_stride=OUTPUT_STRIDE,
        rates=HDC_RATES,
        width=width,
    )
    return DUCHDC(encoder, num_classes=num_classes)
