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

The names that begin with "resnet152" are the form of an independent implementation that is widely
used in PyTorch; the authors' own network over ResNet-152 was not released:

- torchvision's ResNet-152, 7x7 stem and strides on the 3x3, so that its ImageNet weights fit. Every
  block of stages 3 and 4 has rate 2 and 4, the first ones too; in the HDC form rates 1, 2, 5, 9 by
  turns in stage 3, and 5, 9, 17 in stage 4.
- One 3x3 convolution at rate 1 in place of the release's four summed ones, with batch norm and ReLU
  on the logits themselves: none is negative. Cell 1, so that nothing is enlarged bilinearly.
- Deviation: sizes that are no multiples of 8, which it refuses, are padded, and the logits cropped.

Sources: Wang et al. 2018, "Understanding Convolution for Semantic Segmentation" (arXiv 1702.08502),
sections 3.1 and 3.2; for ResNet-152, zijundeng/pytorch-semantic-segmentation, models/duc_hdc.py
(2019).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice

from torch import Tensor, nn

from autoseg.errors import UsageError
from autoseg.networks.encoders.resnet import RESNET101, RESNET152, ResNet
from autoseg.networks.initialise import initialise_
from autoseg.ops import conv_bn_relu, pad_image, resize

OUTPUT_STRIDE = 8
HDC_RATES = {3: (2, 2, 5, 9, *(1, 2, 5, 9) * 4, 1, 2, 5), 4: (5, 9, 17)}
"""Atrous rate of each block of ResNet-101's stages 3 and 4."""
CONTEXT_RATES = (6, 12, 18, 24)


def hdc_rates(
    num_blocks: int, pattern: Sequence[int] = (1, 2, 5, 9), *, kernel_size: int = 3
) -> tuple[int, ...]:
    """Repeat a group of atrous rates over the blocks of a stage, if the group shows no grid.

    Stacked convolutions of one rate, or of rates with a common factor, read only every so many-th
    pixel; so do rates that grow too fast. The paper asks for no common factor, and for M_2 <= K,
    with M_n = r_n and M_i = max(M_{i+1} - 2 r_i, 2 r_i - M_{i+1}, r_i): the largest distance that
    the layers from the second on leave between two pixels that are read.

    Args:
        num_blocks: Blocks of the stage; the last repetition may be cut short.
        pattern: Rates r_1 to r_n of a group of convolutions that follow each other.
        kernel_size: K, side of each kernel.

    Returns:
        One rate a block.

    Raises:
        UsageError: If the group breaks a rule, or holds a rate below 1 or fewer than two rates.

    Source: Wang et al. 2018 (arXiv 1702.08502), section 3.2, equation 2.
    """
    if len(pattern) < 2 or min(pattern) < 1:
        raise UsageError(f"hdc_rates: group {tuple(pattern)}; give at least two rates from 1 up.")
    factor = math.gcd(*pattern)
    if factor > 1:
        raise UsageError(
            f"hdc_rates: group {tuple(pattern)} has the common factor {factor}: of {factor} "
            "neighbouring pixels one is read; take rates without a common factor, as in (1, 2, 5)."
        )
    distance = pattern[-1]
    for rate in reversed(pattern[1:-1]):
        distance = max(distance - 2 * rate, 2 * rate - distance, rate)
    if distance > kernel_size:
        raise UsageError(
            f"hdc_rates: group {tuple(pattern)} has M_2 = {distance}, more than the kernel size "
            f"{kernel_size}: pixels between those it reads are missed; let the rates grow slower, "
            "as in (1, 2, 5)."
        )
    return tuple(islice(cycle(pattern), num_blocks))


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


class RectifiedUpsampling(nn.Module):
    """Predict the logits of a square by one convolution, and normalise and rectify them."""

    def __init__(self, in_channels: int, num_classes: int, *, upsampling: int) -> None:
        """Build the convolution.

        Args:
            in_channels: Channels of the coarse map.
            num_classes: K, the number of evaluated classes.
            upsampling: Side of the square, in positions of the finer map.
        """
        super().__init__()
        self.predict = conv_bn_relu(in_channels, upsampling**2 * num_classes, 3, bias=True)
        self.shuffle = nn.PixelShuffle(upsampling)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, h, w) to logits from 0 up, (N, K, upsampling * h, upsampling * w)."""
        return self.shuffle(self.predict(features))


class DUCHDC(nn.Module):
    """Encode at stride 8 with hybrid rates, and predict all pixels of each position at once."""

    def __init__(
        self,
        encoder: ResNet,
        *,
        num_classes: int,
        cell: int = 2,
        upsampler: Callable[..., nn.Module] = DenseUpsampling,
    ) -> None:
        """Put the network together.

        Args:
            encoder: Encoder at output stride 8.
            num_classes: K, the number of evaluated classes.
            cell: Side of the square of pixels that share a prediction: 1, 2, 4 or 8.
            upsampler: Builds what maps stage 4's map to logits, as `DenseUpsampling`.

        Raises:
            UsageError: If `cell` does not divide the output stride.
        """
        super().__init__()
        if cell not in (1, 2, 4, 8):
            raise UsageError(f"DUCHDC: cell {cell} does not divide 8; use 1, 2, 4 or 8.")
        self.encoder = encoder
        self.cell = cell
        self.upsample = upsampler(
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
        padded = pad_image(images, multiple=OUTPUT_STRIDE)
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


RESNET152_RATES = {stage: (rate,) * RESNET152[stage - 1] for stage, rate in ((3, 2), (4, 4))}
RESNET152_HDC_RATES = {3: hdc_rates(RESNET152[2]), 4: (5, 9, 17)}
"""Atrous rate of each block of ResNet-152's stages 3 and 4."""


def resnet152_duc(num_classes: int, *, width: float = 1.0) -> DUCHDC:
    """Build ResNet152-DUC: 80,560,768 parameters at 19 classes and width 1."""
    return _resnet152_duc(num_classes, rates=RESNET152_RATES, width=width)


def resnet152_duc_hdc(num_classes: int, *, width: float = 1.0) -> DUCHDC:
    """Build ResNet152-DUC with hybrid rates; the parameters are the same."""
    return _resnet152_duc(num_classes, rates=RESNET152_HDC_RATES, width=width)


def _resnet152_duc(num_classes: int, *, rates: Mapping[int, Sequence[int]], width: float) -> DUCHDC:
    encoder = ResNet(RESNET152, output_stride=OUTPUT_STRIDE, rates=rates, width=width)
    return DUCHDC(encoder, num_classes=num_classes, cell=1, upsampler=RectifiedUpsampling)
