"""SegNet, and the small SegNet-Basic.

The decoder takes from the encoder only the places of the maxima: each unpooling puts the values
back where its pooling found them, and convolutions fill in between. Pooling rounds odd sizes up, as
in the authors' Caffe code, and unpooling restores the size before it, so that any size works.

Convolutions have a bias in front of batch norm, as in the release.

Source: Badrinarayanan et al. 2017, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for
Image Segmentation" (arXiv 1511.00561), sections 3 and 3.1; the authors' release for the layers.
"""

from itertools import pairwise

from torch import Tensor, nn

from autoseg.networks.encoders.vgg import pooling_indices, vgg_features
from autoseg.networks.initialise import initialise_, initialise_rectified_
from autoseg.networks.width import scale_channels
from autoseg.ops import (
    ResponseNorm,
    conv_bn,
    conv_bn_relu,
    pool_after_each,
    reads_image,
    unpool_before_each,
)

DECODER_CHANNELS = (
    (512, 512, 512, 512),
    (512, 512, 512, 256),
    (256, 256, 256, 128),
    (128, 128, 64),
    (64, 64),
)
"""Channels before and after each convolution of a decoder block, the deepest block first."""


class SegNet(nn.Module):
    """Pool and remember the places, then unpool and convolve, as often."""

    def __init__(
        self,
        encoder: nn.ModuleList,
        decoder: nn.ModuleList,
        classifier: nn.Conv2d,
        *,
        normalise: nn.Module | None = None,
    ) -> None:
        """Put the network together.

        Args:
            encoder: Blocks that keep the size; a 2x2 max pooling follows each.
            decoder: As many blocks that keep the size; an unpooling precedes each. A block has the
                input channels of the encoder's block at the same level as output.
            classifier: Convolution from the last block to the logits.
            normalise: What is done to the image first; nothing by default.
        """
        super().__init__()
        self.normalise = nn.Identity() if normalise is None else normalise
        self.encoder = encoder
        self.decoder = decoder
        self.classifier = classifier
        initialise_rectified_(encoder)
        initialise_rectified_(decoder)
        initialise_(classifier)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) of any size to logits (N, K, H, W)."""
        features, places = pool_after_each(self.encoder, self.normalise(images))
        features = unpool_before_each(self.decoder, features, places)
        return self.classifier(features)


def segnet_vgg16(num_classes: int, *, width: float = 1.0) -> SegNet:
    """Build SegNet: 29,449,355 parameters at 11 classes and width 1."""
    decoder = [
        nn.Sequential(
            *(
                conv_bn_relu(
                    scale_channels(before, width), scale_channels(after, width), 3, bias=True
                )
                for before, after in pairwise(channels)
            )
        )
        for channels in DECODER_CHANNELS
    ]
    return SegNet(
        vgg_blocks(width=width),
        nn.ModuleList(decoder),
        nn.Conv2d(scale_channels(64, width), num_classes, 3, padding=1),
    )


def segnet_basic(num_classes: int, *, width: float = 1.0) -> SegNet:
    """Build SegNet-Basic, four 7x7 convolutions deep: 1,416,587 parameters at 11 classes, width 1.

    Response normalisation of the image comes first; the decoder has no ReLU.
    """
    channels = scale_channels(64, width)
    encoder = [conv_bn_relu(before, channels, 7, bias=True) for before in (3, *[channels] * 3)]
    reads_image(encoder[0])
    decoder = [conv_bn(channels, channels, 7, bias=True) for _ in range(4)]
    return SegNet(
        nn.ModuleList(encoder),
        nn.ModuleList(decoder),
        nn.Conv2d(channels, num_classes, 1),
        normalise=ResponseNorm(),
    )


def vgg_blocks(*, width: float) -> nn.ModuleList:
    """Cut VGG16 with batch norm into its five blocks of convolutions, without the poolings."""
    features = vgg_features(16, batch_norm=True, width=width)
    ends = pooling_indices(features)
    starts = [0, *(end + 1 for end in ends)]
    return nn.ModuleList(features[start:end] for start, end in zip(starts, ends, strict=False))
