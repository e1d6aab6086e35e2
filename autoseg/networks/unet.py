"""U-Net.

Deviations from the paper: convolutions keep the size (the paper's are valid, and its output is 184
pixels smaller than its input), so that every pixel is predicted; no dropout at the end of the
contracting path, of which the paper gives no rate; three channels unless asked for the paper's one.

Source: Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation"
(arXiv 1505.04597), figure 1.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.networks.initialise import initialise_, initialise_rectified_
from autoseg.networks.width import scale_channels
from autoseg.ops import conv_relu, pad_image, reads_image

CHANNELS = (64, 128, 256, 512, 1024)
"""Channels of the maps at strides 1, 2, 4, 8 and 16."""


class UNet(nn.Module):
    """Contract, expand, and at each step up read the map that the step down had."""

    def __init__(
        self, *, num_classes: int, in_channels: int = 3, channels: Sequence[int] = CHANNELS
    ) -> None:
        """Build the network with random weights.

        Args:
            num_classes: K, the number of evaluated classes.
            in_channels: Channels of the images.
            channels: Channels of each level, the finest first.
        """
        super().__init__()
        self.contracting = nn.ModuleList(
            _two_convolutions(count_in, count_out)
            for count_in, count_out in pairwise((in_channels, *channels))
        )
        reads_image(self.contracting)
        ascent = list(pairwise(reversed(channels)))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, 2, stride=2) for coarse, fine in ascent
        )
        self.expanding = nn.ModuleList(_two_convolutions(2 * fine, fine) for _, fine in ascent)
        self.classifier = nn.Conv2d(channels[0], num_classes, 1)
        for part in (self.contracting, self.up, self.expanding):
            initialise_rectified_(part)
        initialise_(self.classifier)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, in_channels, H, W) of any size to logits (N, K, H, W).

        The image is padded below and on the right to a multiple of 16, and the logits are cropped.
        """
        height, width = images.shape[2:]
        features = pad_image(images, multiple=2 ** len(self.up))
        skipped = []
        for level, convolve in enumerate(self.contracting):
            features = convolve(features if level == 0 else F.max_pool2d(features, 2))
            skipped.append(features)
        finer = reversed(skipped[:-1])
        for enlarge, convolve, skip in zip(self.up, self.expanding, finer, strict=True):
            features = convolve(torch.cat([skip, enlarge(features)], dim=1))
        return self.classifier(features)[:, :, :height, :width]


def unet(num_classes: int, *, width: float = 1.0, in_channels: int = 3) -> UNet:
    """Build U-Net: 31,030,658 parameters at 1 channel, 2 classes and width 1."""
    return UNet(
        num_classes=num_classes,
        in_channels=in_channels,
        channels=[scale_channels(count, width) for count in CHANNELS],
    )


def _two_convolutions(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        *conv_relu(in_channels, out_channels, 3), *conv_relu(out_channels, out_channels, 3)
    )
