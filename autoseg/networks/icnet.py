"""ICNet: three resolutions, of which only the coarsest goes through the whole trunk.

Built as the authors' network definition has it, at full width and in their half-width ("pruned")
form. What copies of it often change, and what is so here:

- The trunk runs once. The image at 1/2 goes as far as the first block of stage 2 (1/16 of the
  image); that map is the middle branch, and shrunk by 2 it feeds the rest of the trunk.
- The pyramid's pooled maps are added to their input: no convolutions, no concatenation.
- All resizing aligns the corner pixels' centres (Caffe's Interp layer).

Deviations: the pooling bins cover the map at any size (the release has fixed windows for
1025 x 2049, which overlap by a row more), and the main loss is taken at the image's size instead of
1/4, so that one recipe serves every network.

Source: Zhao et al. 2018, "ICNet for Real-Time Semantic Segmentation on High-Resolution Images"
(arXiv 1704.08545), sections 3 and 4; the authors' release for the layers.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.contract import TrainingLogits
from autoseg.networks.encoders.resnet import RESNET50, ResNet
from autoseg.networks.initialise import initialise_
from autoseg.networks.width import scale_channels
from autoseg.ops import conv_bn, conv_bn_relu, pool_to_grid, reads_image, resize, strided

POOLING_BINS = (1, 2, 3, 6)
AUXILIARY_WEIGHTS = (0.16, 0.4)
"""Weights of the losses at 1/16 and at 1/8."""


class PyramidPooling(nn.Module):
    """Add to a map its averages over grids of 1, 2, 3 and 6 bins a side; no parameters."""

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        total = features
        for bins in POOLING_BINS:
            pooled = pool_to_grid(features, bins)
            total = total + resize(pooled, features.shape[2:], align_corners=True)
        return total


class CascadeFeatureFusion(nn.Module):
    """Enlarge a coarse map to the size of a finer one, and add the two after a projection each.

    Source: section 3.3, figure 3.
    """

    def __init__(self, coarse_channels: int, fine_channels: int, out_channels: int) -> None:
        super().__init__()
        # Rate 2 on the enlarged map: the neighbourhood that the coarse map had.
        self.coarse = conv_bn(coarse_channels, out_channels, 3, dilation=2)
        self.fine = conv_bn(fine_channels, out_channels)

    def forward(self, coarse: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse two maps.

        Args:
            coarse: (N, coarse_channels, h, w).
            fine: (N, fine_channels, H, W).

        Returns:
            The fused map (N, out_channels, H, W), and the enlarged coarse map
            (N, coarse_channels, H, W), from which the auxiliary classifier predicts.
        """
        enlarged = resize(coarse, fine.shape[2:], align_corners=True)
        return F.relu(self.coarse(enlarged) + self.fine(fine)), enlarged


class ICNet(nn.Module):
    """Understand the image at 1/32, correct it at 1/16 and 1/8, and classify at 1/4."""

    def __init__(
        self,
        trunk: ResNet,
        *,
        num_classes: int,
        detail_channels: Sequence[int] = (32, 32, 64),
        fusion_channels: int = 128,
    ) -> None:
        """Put the network together.

        Args:
            trunk: ResNet-50 at output stride 8 with the strides on the first 1x1.
            num_classes: K, the number of evaluated classes.
            detail_channels: Channels of the three convolutions of the full-resolution branch.
            fusion_channels: Channels of the fused maps.
        """
        super().__init__()
        self.trunk = trunk
        middle_channels, coarse_channels = trunk.stage_channels[1], trunk.stage_channels[3] // 4
        self.pyramid = PyramidPooling()
        self.reduce = conv_bn_relu(trunk.stage_channels[3], coarse_channels)
        self.detail = nn.Sequential(
            *(
                conv_bn_relu(count_in, count_out, 3, stride=2)
                for count_in, count_out in pairwise((3, *detail_channels))
            )
        )
        reads_image(self.detail)
        self.fuse_middle = CascadeFeatureFusion(coarse_channels, middle_channels, fusion_channels)
        self.fuse_detail = CascadeFeatureFusion(
            fusion_channels, detail_channels[-1], fusion_channels
        )
        self.classifier = nn.Conv2d(fusion_channels, num_classes, 1)
        # Cascade label guidance: used in training only, and left out of published counts.
        self.auxiliary = nn.ModuleList(
            nn.Conv2d(channels, num_classes, 1) for channels in (coarse_channels, fusion_channels)
        )
        for name, part in self.named_children():
            if name != "trunk":
                initialise_(part)

    def forward(self, images: Tensor) -> Tensor | TrainingLogits:
        """Map normalised images (N, 3, H, W) of any size to logits (N, K, H, W).

        In training mode the logits come with two auxiliary ones, at 1/16 and 1/8 of the image
        (rounded up), to be weighted by 0.16 and 0.4.
        """
        middle = self._trunk_head(images)
        coarse = self.reduce(self.pyramid(self._trunk_tail(middle)))
        fused, coarse = self.fuse_middle(coarse, middle)
        fused, guided = self.fuse_detail(fused, self.detail(images))
        quarter = resize(fused, _halved(_halved(images.shape[2:])), align_corners=True)
        logits = resize(self.classifier(quarter), images.shape[2:], align_corners=True)
        if not self.training:
            return logits
        guidance = zip(self.auxiliary, (coarse, guided), strict=True)
        auxiliary = tuple(classify(features) for classify, features in guidance)
        return TrainingLogits(logits, auxiliary, AUXILIARY_WEIGHTS)

    def _trunk_head(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) to the middle branch, (N, C, H / 16, W / 16) rounded up."""
        half = resize(images, _halved(images.shape[2:]), align_corners=True)
        return self.trunk.layer2[0](self.trunk.layer1(self.trunk.stem(half)))

    def _trunk_tail(self, middle: Tensor) -> Tensor:
        """Shrink the middle branch by 2, and map it to stage 4's map at 1/32."""
        features = resize(middle, _halved(middle.shape[2:]), align_corners=True)
        features = self.trunk.layer2[1:](features)
        return self.trunk.layer4(self.trunk.layer3(features))


def icnet_resnet50(num_classes: int, *, width: float = 1.0) -> ICNet:
    """Build ICNet over the full-width ResNet-50, as it is before pruning.

    25,524,659 parameters at 19 classes and width 1; 25,536,857 with the auxiliary classifiers.
    """
    return _icnet(num_classes, trunk_width=width, width=width)


def icnet_pruned(num_classes: int, *, width: float = 1.0) -> ICNet:
    """Build ICNet with half the channels in the trunk, the network of the published speed.

    6,699,987 parameters at 19 classes and width 1; 6,707,321 with the auxiliary classifiers.
    """
    return _icnet(num_classes, trunk_width=0.5 * width, width=width)


def _icnet(num_classes: int, *, trunk_width: float, width: float) -> ICNet:
    trunk = ResNet(RESNET50, stem="3x3", stride_on="1x1", output_stride=8, width=trunk_width)
    return ICNet(
        trunk,
        num_classes=num_classes,
        detail_channels=[scale_channels(channels, width) for channels in (32, 32, 64)],
        fusion_channels=scale_channels(128, width),
    )


def _halved(size: Sequence[int]) -> list[int]:
    """Halve a size, rounding up as a convolution with stride 2 does."""
    return [strided(length, 2) for length in size]
