"""DeepLab v2: several fields of view over one map, summed as logits (ASPP in its first form).

Over VGG16 each of the four branches has its own fully connected layers; over ResNet-101 a branch is
one 3x3 convolution straight to the logits. Both encoders have output stride 8. As in the authors'
Caffe networks, ResNet's strides are on the first 1x1 of a block, and every block of stages 3 and 4
has rate 2 and 4.

Multi-scale inputs (MSC) are an option: the same weights read the image at 1, 0.75 and 0.5, and the
largest logit of the three wins at each position; in training each scale has a loss of its own.

Deviations: batch norm learns its statistics (the release froze ImageNet's), and the main loss is
taken at the image's size instead of 1/8, so that one recipe serves every network; even sizes are
halved exactly, as in DeepLab v1 here. With multi-scale inputs the statistics learnt are those of
three scales mixed, while each trains with its own: from random weights, the plain form is better.

Source: Chen et al. 2018, "DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous
Convolution, and Fully Connected CRFs" (arXiv 1606.00915), sections 3.2 and 4.1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autoseg.contract import TrainingLogits
from autoseg.networks.deeplabv1 import atrous_vgg16
from autoseg.networks.encoders.fully_connected import fully_connected_layers
from autoseg.networks.encoders.resnet import RESNET101, ResNet
from autoseg.networks.initialise import initialise_, initialise_rectified_
from autoseg.networks.width import scale_channels
from autoseg.ops import resize, scaled

ASPP_RATES = (6, 12, 18, 24)
"""ASPP-L, the larger of the paper's two sets."""
EXTRA_SCALES = (0.5, 0.75)
"""Scales of the image besides 1, coarsest first."""
_MIN_SCALE = 0.5


class DeepLabV2(nn.Module):
    """Encode at stride 8, and sum the logits of branches with different rates."""

    def __init__(
        self, encoder: nn.Module, branches: nn.ModuleList, *, scales: Sequence[float] = ()
    ) -> None:
        """Put the network together.

        Args:
            encoder: Encoder at output stride 8.
            branches: Each maps the encoder's map to logits of the same size.
            scales: Scales besides 1 at which the image is read as well, ascending, of 0.5 or more;
                none by default.

        Raises:
            ValueError: If a scale would leave nothing of an image of one pixel.
        """
        super().__init__()
        if any(scale < _MIN_SCALE for scale in scales):
            raise ValueError(
                f"DeepLabV2: scales {tuple(scales)} must be {_MIN_SCALE} or more: a smaller one "
                "leaves nothing of an image of one pixel."
            )
        self.encoder = encoder
        self.branches = branches
        self.scales = tuple(scales)

    def forward(self, images: Tensor) -> Tensor | TrainingLogits:
        """Map normalised images (N, 3, H, W) of any size to logits (N, K, H, W).

        With several scales, the logits are the largest over them; in training mode they come with
        those of each scale, at 1/8 of its image (rounded up), each weighted by 1. Resizing aligns
        the corner pixels' centres, as the release's layer does.
        """
        full = self._coarse(images)
        if not self.scales:
            return resize(full, images.shape[2:], align_corners=True)
        every_scale = [*(self._coarse(_scaled(images, scale)) for scale in self.scales), full]
        on_one_grid = [resize(coarse, full.shape[2:], align_corners=True) for coarse in every_scale]
        largest = torch.stack(on_one_grid).amax(dim=0)
        logits = resize(largest, images.shape[2:], align_corners=True)
        if not self.training:
            return logits
        return TrainingLogits(logits, tuple(every_scale), (1.0,) * len(every_scale))

    def _coarse(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) to logits at 1/8, (N, K, ceil(H / 8), ceil(W / 8))."""
        features = self.encoder(images)
        logits, *others = (branch(features) for branch in self.branches)
        for other in others:
            logits = logits + other
        return logits


def deeplabv2_vgg16(
    num_classes: int, *, width: float = 1.0, is_multi_scale: bool = False
) -> DeepLabV2:
    """Build DeepLab v2 over VGG16: 37,877,652 parameters at 21 classes and width 1."""
    in_channels, channels = scale_channels(512, width), scale_channels(1024, width)
    branches = nn.ModuleList()
    for rate in ASPP_RATES:
        context = fully_connected_layers(in_channels, channels, kernel_size=3, dilation=rate)
        initialise_rectified_(context)
        classifier = nn.Conv2d(channels, num_classes, 1)
        initialise_(classifier)
        branches.append(nn.Sequential(*context, classifier))
    scales = EXTRA_SCALES if is_multi_scale else ()
    return DeepLabV2(atrous_vgg16(width=width), branches, scales=scales)


def deeplabv2_resnet101(
    num_classes: int, *, width: float = 1.0, is_multi_scale: bool = False
) -> DeepLabV2:
    """Build DeepLab v2 over ResNet-101: 44,048,532 parameters at 21 classes and width 1."""
    encoder = ResNet(RESNET101, stride_on="1x1", output_stride=8, width=width)
    branches = nn.ModuleList(
        nn.Conv2d(encoder.stage_channels[3], num_classes, 3, padding=rate, dilation=rate)
        for rate in ASPP_RATES
    )
    initialise_(branches)
    scales = EXTRA_SCALES if is_multi_scale else ()
    return DeepLabV2(encoder, branches, scales=scales)


def deeplabv2_resnet101_msc(num_classes: int, *, width: float = 1.0) -> DeepLabV2:
    """Build DeepLab v2 over ResNet-101 with multi-scale inputs; the parameters are the same."""
    return deeplabv2_resnet101(num_classes, width=width, is_multi_scale=True)


def _scaled(images: Tensor, scale: float) -> Tensor:
    """Resize images bilinearly by a factor, one of 0.5 or more: that leaves one pixel of one."""
    size = [scaled(side, scale) for side in images.shape[2:]]
    return resize(images, size, align_corners=True)
