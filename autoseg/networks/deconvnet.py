"""DeconvNet: VGG16 as deep as its first two fully connected layers, and its mirror image.

Every convolution and transposed convolution has a bias, batch norm and ReLU; the last one, 1x1,
predicts. Unpooling puts values back to the places of the maxima, as in SegNet.

The paper segments object proposals of 224 x 224 pixels and takes the maximum over them. Here the
network reads an image of any size of at least that: its fully connected layers are convolutions.

Source: Noh et al. 2015, "Learning Deconvolution Network for Semantic Segmentation"
(arXiv 1505.04366), section 3 and table 2.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from autoseg.networks.initialise import initialise_, initialise_rectified_
from autoseg.networks.segnet import DECODER_CHANNELS as SEGNET_CHANNELS
from autoseg.networks.segnet import vgg_blocks
from autoseg.networks.width import scale_channels
from autoseg.ops import pad_image, pool_after_each, unpool_before_each

STRIDE = 32
MIN_SIDE = 224
"""Below it the 7x7 kernel of the first fully connected layer does not fit its map."""
DECODER_CHANNELS = (*SEGNET_CHANNELS[:-1], (64, 64, 64))
"""Channels before and after each transposed convolution, the deepest block first: SegNet's, but for
the last block, whose second convolution does not predict yet."""


class DeconvNet(nn.Module):
    """Reduce the image to one column of features a 224 x 224 window, and build it up again."""

    def __init__(
        self,
        encoder: nn.ModuleList,
        *,
        num_classes: int,
        context_channels: int,
        decoder_channels: Sequence[Sequence[int]],
    ) -> None:
        """Put the network together.

        Args:
            encoder: VGG16's five blocks; a 2x2 max pooling follows each.
            num_classes: K, the number of evaluated classes.
            context_channels: Channels of the fully connected layers.
            decoder_channels: Channels before and after each transposed convolution of the five
                decoder blocks; the first is also what the encoder's last block gives.
        """
        super().__init__()
        deepest = decoder_channels[0][0]
        self.encoder = encoder
        self.fc6 = _rectified(nn.Conv2d(deepest, context_channels, 7))
        self.fc7 = _rectified(nn.Conv2d(context_channels, context_channels, 1))
        self.deconv6 = _rectified(nn.ConvTranspose2d(context_channels, deepest, 7))
        self.decoder = nn.ModuleList(
            nn.Sequential(
                *(
                    _rectified(nn.ConvTranspose2d(before, after, 3, padding=1))
                    for before, after in pairwise(channels)
                )
            )
            for channels in decoder_channels
        )
        self.classifier = nn.Conv2d(decoder_channels[-1][-1], num_classes, 1)
        initialise_rectified_(self)
        initialise_(self.classifier)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) of any size to logits (N, K, H, W).

        The image is padded below and on the right to multiples of 32, at least 224, and the logits
        are cropped.

        Raises:
            ValueError: In training with one image of at most 224 x 224, whose one column of
                features has no variance to be normalised by.
        """
        height, width = images.shape[2:]
        features = pad_image(images, multiple=STRIDE, minimum=MIN_SIDE)
        features, places = pool_after_each(self.encoder, features)
        features = self.deconv6(self.fc7(self.fc6(features)))
        features = unpool_before_each(self.decoder, features, places)
        return self.classifier(features)[:, :, :height, :width]


def deconvnet_vgg16(num_classes: int, *, width: float = 1.0) -> DeconvNet:
    """Build DeconvNet: 251,805,653 parameters at 21 classes and width 1."""
    return DeconvNet(
        vgg_blocks(width=width),
        num_classes=num_classes,
        context_channels=scale_channels(4096, width),
        decoder_channels=[
            [scale_channels(count, width) for count in channels] for channels in DECODER_CHANNELS
        ],
    )


def _rectified(convolution: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    """Put batch norm and ReLU after a convolution."""
    return nn.Sequential(
        convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)
    )
