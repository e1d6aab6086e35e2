"""FCN over VGG16 and AlexNet as the authors released it, and over ResNet as torchvision has it.

Over VGG16 and AlexNet:

- The classifier's fully connected layers are convolutions without padding; the first convolution
  pads the image by 100 pixels of zeros, so that their map is never empty, and maps are cropped by
  fixed offsets, so that any size works. Pooling rounds sizes up, as Caffe does.
- Upsampling layers are transposed convolutions with full (K, K, k, k) weights, bilinear on the
  diagonal, which do not learn: frozen parameters, and counted.
- FCN-16s and FCN-8s add predictions from pool4 and pool3 ("staged" form: no scaling of the skips).

Over ResNet: output stride 8, one 3x3 convolution and a 1x1 to the logits, which are resized
bilinearly, corners of the images on each other; an auxiliary classifier reads stage 3.

Deviations: classifiers start at random (standard deviation 0.01) instead of at zero, the rule of
every network here; the auxiliary loss is taken at stage 3's own size.

Source: Long et al. 2015, "Fully Convolutional Networks for Semantic Segmentation"
(arXiv 1411.4038), section 4, and the authors' release.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.contract import TrainingLogits
from autoseg.networks.auxiliary import auxiliary_classifier
from autoseg.networks.encoders import Encoder
from autoseg.networks.encoders.alexnet import grouped_alexnet_features
from autoseg.networks.encoders.fully_connected import fully_connected_layers
from autoseg.networks.encoders.resnet import RESNET50, RESNET101, ResNet
from autoseg.networks.encoders.vgg import pooling_indices, vgg_features
from autoseg.networks.initialise import initialise_, initialise_rectified_
from autoseg.networks.width import scale_channels
from autoseg.ops import bilinear_upsampler, resize

PADDING = 100
"""Padding of the first convolution in the release."""
AUXILIARY_WEIGHT = 0.5
"""torchvision's weight of the auxiliary loss."""
HEAD_DROPOUT = 0.1


class FCN(nn.Module):
    """Score the deepest map, and on the way up add the scores of finer ones."""

    def __init__(
        self,
        stages: nn.ModuleList,
        context: nn.Sequential,
        *,
        num_classes: int,
        context_channels: int,
        skip_channels: Sequence[int],
        skip_offsets: Sequence[int],
        kernel_sizes: Sequence[int],
        strides: Sequence[int],
        padding: int,
        offset: int,
    ) -> None:
        """Put the network together.

        Args:
            stages: The encoder in parts; the map after each but the last is scored as a skip.
            context: The fully connected layers, as convolutions.
            num_classes: K, the number of evaluated classes.
            context_channels: Channels after `context`.
            skip_channels: Channels of the skips' maps, in the order of `stages`.
            skip_offsets: Rows and columns by which the skips' scores are cropped, the coarsest
                first.
            kernel_sizes: Kernel size of each upsampling layer; the last gives the logits.
            strides: Stride of each.
            padding: Pixels of zeros around the image, besides those of the first convolution.
            offset: Rows and columns by which the logits are cropped.
        """
        super().__init__()
        self.stages = stages
        self.context = context
        self.score = nn.Conv2d(context_channels, num_classes, 1)
        self.score_skips = nn.ModuleList(nn.Conv2d(c, num_classes, 1) for c in skip_channels)
        self.upsample = nn.ModuleList(
            bilinear_upsampler(num_classes, size, stride=stride)
            for size, stride in zip(kernel_sizes, strides, strict=True)
        )
        self.skip_offsets = tuple(skip_offsets)
        self.padding = padding
        self.offset = offset
        initialise_rectified_(self.context)
        for part in (self.score, self.score_skips):
            initialise_(part)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) of any size to logits (N, K, H, W)."""
        features = F.pad(images, (self.padding,) * 4)
        maps = []
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        scores = self.score(self.context(features))
        coarse_to_fine = zip(
            self.upsample[:-1],
            reversed(self.score_skips),
            reversed(maps[:-1]),
            self.skip_offsets,
            strict=True,
        )
        for upsample, score_skip, skip, offset in coarse_to_fine:
            scores = upsample(scores)
            scores = scores + _crop(score_skip(skip), offset, scores.shape[2:])
        return _crop(self.upsample[-1](scores), self.offset, images.shape[2:])


class FCNResNet(nn.Module):
    """Encode at stride 8, and classify each position by its neighbourhood."""

    def __init__(self, encoder: Encoder, *, num_classes: int, width: float = 1.0) -> None:
        """Put the network together.

        Args:
            encoder: Encoder; at output stride 8 in torchvision.
            num_classes: K, the number of evaluated classes.
            width: Factor on the channels of the two classifiers, 512 and 256.
        """
        super().__init__()
        self.encoder = encoder
        self.head = auxiliary_classifier(
            encoder.stage_channels[3],
            scale_channels(512, width),
            num_classes,
            dropout=HEAD_DROPOUT,
        )
        self.auxiliary = auxiliary_classifier(
            encoder.stage_channels[2],
            scale_channels(256, width),
            num_classes,
            dropout=HEAD_DROPOUT,
        )

    def forward(self, images: Tensor) -> Tensor | TrainingLogits:
        """Map normalised images (N, 3, H, W) of any size to logits (N, K, H, W).

        In training mode the logits come with stage 3's, at 1/8 of the image (rounded up), to be
        weighted by 0.5.
        """
        middle, features = self.encoder.maps(images, stages=(3, 4))
        logits = resize(self.head(features), images.shape[2:], align_corners=False)
        if not self.training:
            return logits
        return TrainingLogits(logits, (self.auxiliary(middle),), (AUXILIARY_WEIGHT,))


def fcn32s_vgg16(num_classes: int, *, width: float = 1.0) -> FCN:
    """Build FCN-32s over VGG16: 136,152,917 parameters at 21 classes and width 1."""
    return _fcn_vgg16(
        num_classes, width=width, skip_offsets=(), kernel_sizes=(64,), strides=(32,), offset=19
    )


def fcn16s_vgg16(num_classes: int, *, width: float = 1.0) -> FCN:
    """Build FCN-16s over VGG16: 134,815,994 parameters at 21 classes and width 1."""
    return _fcn_vgg16(
        num_classes,
        width=width,
        skip_offsets=(5,),
        kernel_sizes=(4, 32),
        strides=(2, 16),
        offset=27,
    )


def fcn8s_vgg16(num_classes: int, *, width: float = 1.0) -> FCN:
    """Build FCN-8s over VGG16: 134,489,759 parameters at 21 classes and width 1."""
    return _fcn_vgg16(
        num_classes,
        width=width,
        skip_offsets=(5, 9),
        kernel_sizes=(4, 4, 16),
        strides=(2, 2, 8),
        offset=31,
    )


def fcn_alexnet(num_classes: int, *, width: float = 1.0) -> FCN:
    """Build FCN over Caffe's AlexNet: 58,704,590 parameters at 21 classes and width 1."""
    features = grouped_alexnet_features(width=width)
    convolutions = [layer for layer in features if isinstance(layer, nn.Conv2d)]
    channels = scale_channels(4096, width)
    return FCN(
        nn.ModuleList([features]),
        fully_connected_layers(
            convolutions[-1].out_channels, channels, kernel_size=6, keeps_size=False
        ),
        num_classes=num_classes,
        context_channels=channels,
        skip_channels=(),
        skip_offsets=(),
        kernel_sizes=(63,),
        strides=(32,),
        padding=PADDING,
        offset=18,
    )


def fcn_resnet50(num_classes: int, *, width: float = 1.0) -> FCNResNet:
    """Build torchvision's FCN over ResNet-50.

    32,957,013 parameters at 21 classes and width 1; 35,322,218 with the auxiliary classifier.
    """
    encoder = ResNet(RESNET50, output_stride=8, width=width)
    return FCNResNet(encoder, num_classes=num_classes, width=width)


def fcn_resnet101(num_classes: int, *, width: float = 1.0) -> FCNResNet:
    """Build torchvision's FCN over ResNet-101.

    51,949,141 parameters at 21 classes and width 1; 54,314,346 with the auxiliary classifier.
    """
    encoder = ResNet(RESNET101, output_stride=8, width=width)
    return FCNResNet(encoder, num_classes=num_classes, width=width)


def fcn_over(encoder: Encoder, num_classes: int, *, width: float = 1.0) -> FCNResNet:
    """Build torchvision's FCN over any encoder.

    Args:
        encoder: Any; torchvision's have output stride 8.
        num_classes: K, the number of evaluated classes.
        width: Factor on the channel counts of the two classifiers, by `scale_channels`.
    """
    return FCNResNet(encoder, num_classes=num_classes, width=width)


def _fcn_vgg16(
    num_classes: int,
    *,
    width: float,
    skip_offsets: Sequence[int],
    kernel_sizes: Sequence[int],
    strides: Sequence[int],
    offset: int,
) -> FCN:
    features = vgg_features(16, ceil_mode=True, width=width)
    # Cut after the poolings whose maps are skips: the fifth always, the fourth, the third.
    num_skips = len(skip_offsets)
    ends = [index + 1 for index in pooling_indices(features)][4 - num_skips :]
    starts = [0, *ends[:-1]]
    channels = scale_channels(4096, width)
    return FCN(
        nn.ModuleList(features[start:end] for start, end in zip(starts, ends, strict=True)),
        fully_connected_layers(
            scale_channels(512, width), channels, kernel_size=7, keeps_size=False
        ),
        num_classes=num_classes,
        context_channels=channels,
        skip_channels=[scale_channels(count, width) for count in (256, 512)[2 - num_skips :]],
        skip_offsets=skip_offsets,
        kernel_sizes=kernel_sizes,
        strides=strides,
        padding=PADDING - 1,  # VGG's first convolution adds its own pixel
        offset=offset,
    )


def _crop(scores: Tensor, offset: int, size: Sequence[int]) -> Tensor:
    """Cut a map of the given size out, whose first row and column are number `offset`."""
    return scores[:, :, offset : offset + size[0], offset : offset + size[1]]
