"""ResNet152-DUC as it circulates in PyTorch, with and without hybrid rates.

The paper's first network is a ResNet-152 of which no release has the code; `duc_hdc_resnet101` is
the authors' release. This is the form of an independent implementation that is widely used:

- torchvision's ResNet-152, 7x7 stem and strides on the 3x3, so that its ImageNet weights fit. Every
  block of stages 3 and 4 has rate 2 and 4, the first ones too; in the HDC form rates 1, 2, 5, 9 by
  turns in stage 3, and 5, 9, 17 in stage 4.
- One 3x3 convolution at rate 1 in place of the release's four summed ones, with batch norm and ReLU
  on the logits themselves: none is negative. Cell 1, so that nothing is enlarged bilinearly.

Deviation: sizes that are no multiples of 8, which it refuses, are padded, and the logits cropped.

Sources: zijundeng/pytorch-semantic-segmentation, models/duc_hdc.py (2019); Wang et al. 2018,
"Understanding Convolution for Semantic Segmentation" (arXiv 1702.08502), sections 3.1 and 3.2.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from autoseg.networks.duc_hdc import DUCHDC, OUTPUT_STRIDE, hdc_rates
from autoseg.networks.resnet import RESNET152, ResNet
from autoseg.ops import conv_bn_relu

RATES = {stage: (rate,) * RESNET152[stage - 1] for stage, rate in ((3, 2), (4, 4))}
HYBRID_RATES = {3: hdc_rates(RESNET152[2]), 4: (5, 9, 17)}
"""Atrous rate of each block of stages 3 and 4."""


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


def resnet152_duc(num_classes: int, *, width: float = 1.0) -> DUCHDC:
    """Build ResNet152-DUC: 80,560,768 parameters at 19 classes and width 1."""
    return _resnet152_duc(num_classes, rates=RATES, width=width)


def resnet152_duc_hdc(num_classes: int, *, width: float = 1.0) -> DUCHDC:
    """Build ResNet152-DUC with hybrid rates; the parameters are the same."""
    return _resnet152_duc(num_classes, rates=HYBRID_RATES, width=width)


def _resnet152_duc(num_classes: int, *, rates: Mapping[int, Sequence[int]], width: float) -> DUCHDC:
    encoder = ResNet(RESNET152, output_stride=OUTPUT_STRIDE, rates=rates, width=width)
    return DUCHDC(encoder, num_classes=num_classes, cell=1, upsampler=RectifiedUpsampling)
