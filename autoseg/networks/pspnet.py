"""PSPNet: pyramid pooling over a dilated ResNet.

Built as the authors' PyTorch code has it: three 3x3 convolutions of 64, 64 and 128 channels as the
stem, strides on the 3x3, output stride 8, and every block of stages 3 and 4 at rate 2 and 4, the
first ones too. Resizing aligns the corner pixels' centres: at sizes 8n + 1 that puts the map's
pixels exactly on the image's.

Deviation: the auxiliary loss is taken at stage 3's own size, not at the image's, so that one recipe
serves every network. A batch of 1 in training is normalised with the running statistics in the
branch that pools the whole map, where its own say nothing (see `ImagePooling`).

Source: Zhao et al. 2017, "Pyramid Scene Parsing Network" (arXiv 1612.01105), sections 3.2 and 3.3.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autoseg.contract import TrainingLogits
from autoseg.networks.auxiliary import auxiliary_classifier
from autoseg.networks.encoders import Encoder
from autoseg.networks.encoders.resnet import RESNET50, RESNET101, ResNet
from autoseg.networks.initialise import initialise_
from autoseg.networks.width import scale_channels
from autoseg.ops import ImagePooling, conv_bn_relu, pool_to_grid, resize

GRID_BINS = (2, 3, 6)
"""Sides of the pyramid's grids, besides the one bin of the whole map."""
AUXILIARY_WEIGHT = 0.4
DROPOUT = 0.1


class PyramidPooling(nn.Module):
    """Append to a map its averages over grids of 1, 2, 3 and 6 bins a side, each projected."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Build the projections.

        Args:
            in_channels: Channels of the map.
            out_channels: Channels of each of the four pooled maps; a quarter of the input's in the
                paper.
        """
        super().__init__()
        self.whole = ImagePooling(in_channels, out_channels)
        self.grids = nn.ModuleList(conv_bn_relu(in_channels, out_channels) for _ in GRID_BINS)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, in_channels + 4 * out_channels, H, W)."""
        maps = [features, self.whole(features)]
        for bins, project in zip(GRID_BINS, self.grids, strict=True):
            pooled = project(pool_to_grid(features, bins))
            maps.append(resize(pooled, features.shape[2:], align_corners=True))
        return torch.cat(maps, dim=1)


class PSPNet(nn.Module):
    """Encode at stride 8, add the averages of ever larger regions, and classify."""

    def __init__(
        self,
        encoder: Encoder,
        *,
        num_classes: int,
        head_channels: int = 512,
        auxiliary_channels: int = 256,
    ) -> None:
        """Put the network together.

        Args:
            encoder: Encoder; at output stride 8 in the paper.
            num_classes: K, the number of evaluated classes.
            head_channels: Channels of each pooled map and of the last 3x3 convolution.
            auxiliary_channels: Channels of the auxiliary classifier's 3x3 convolution.
        """
        super().__init__()
        self.encoder = encoder
        in_channels = encoder.stage_channels[3]
        self.pyramid = PyramidPooling(in_channels, head_channels)
        self.fuse = conv_bn_relu(in_channels + 4 * head_channels, head_channels, 3)
        self.dropout = nn.Dropout2d(DROPOUT)
        self.classifier = nn.Conv2d(head_channels, num_classes, 1)
        self.auxiliary = auxiliary_classifier(
            encoder.stage_channels[2],
            auxiliary_channels,
            num_classes,
            dropout=DROPOUT,
            drops_channels=True,
        )
        for part in (self.pyramid, self.fuse, self.classifier):
            initialise_(part)

    def forward(self, images: Tensor) -> Tensor | TrainingLogits:
        """Map normalised images (N, 3, H, W) of any size to logits (N, K, H, W).

        In training mode the logits come with stage 3's, at 1/8 of the image (rounded up), to be
        weighted by 0.4.
        """
        middle, features = self.encoder.maps(images, stages=(3, 4))
        coarse = self.classifier(self.dropout(self.fuse(self.pyramid(features))))
        logits = resize(coarse, images.shape[2:], align_corners=True)
        if not self.training:
            return logits
        return TrainingLogits(logits, (self.auxiliary(middle),), (AUXILIARY_WEIGHT,))


def pspnet_resnet50(num_classes: int, *, width: float = 1.0) -> PSPNet:
    """Build PSPNet over ResNet-50.

    46,715,347 parameters at 19 classes and width 1; 49,080,038 with the auxiliary classifier.
    """
    return _pspnet(RESNET50, num_classes=num_classes, width=width)


def pspnet_resnet101(num_classes: int, *, width: float = 1.0) -> PSPNet:
    """Build PSPNet over ResNet-101.

    65,707,475 parameters at 19 classes and width 1; 68,072,166 with the auxiliary classifier.
    """
    return _pspnet(RESNET101, num_classes=num_classes, width=width)


def pspnet_over(encoder: Encoder, num_classes: int, *, width: float = 1.0) -> PSPNet:
    """Build PSPNet over any encoder.

    Args:
        encoder: Any; the paper's have output stride 8.
        num_classes: K, the number of evaluated classes.
        width: Factor on the decoder's channel counts, by `scale_channels`.
    """
    return PSPNet(
        encoder,
        num_classes=num_classes,
        head_channels=scale_channels(512, width),
        auxiliary_channels=scale_channels(256, width),
    )


def _pspnet(num_blocks: Sequence[int], *, num_classes: int, width: float) -> PSPNet:
    encoder = ResNet(
        num_blocks,
        stem="3x3",
        output_stride=8,
        rates={3: (2,) * num_blocks[2], 4: (4,) * num_blocks[3]},
        width=width,
    )
    return pspnet_over(encoder, num_classes, width=width)
