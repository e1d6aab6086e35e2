"""Atrous spatial pyramid pooling."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autoseg.ops.blocks import conv_bn_relu


class ImagePooling(nn.Module):
    """Average the whole map, project it by a 1x1 convolution, and spread it over the map again.

    Source: Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation"
    (DeepLab v3), section 3.3, "image-level features".
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.project = conv_bn_relu(in_channels, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, out_channels, H, W), constant over H and W.

        Raises:
            ValueError: In training with a batch of 1, whose batch statistics have no variance.
        """
        if self.training and features.shape[0] == 1:
            raise ValueError(
                "ImagePooling: batch size 1 leaves one value a channel, which batch norm cannot "
                "normalise in training; use a batch size of at least 2."
            )
        pooled = self.project(features.mean(dim=(2, 3), keepdim=True))
        return pooled.expand(-1, -1, *features.shape[2:])


class ASPP(nn.Module):
    """Look at the same map through several fields of view, and project the result.

    Branches: a 1x1 convolution, one 3x3 atrous convolution a rate, and image pooling, each followed
    by batch norm and ReLU; their concatenation is projected by a 1x1 convolution, batch norm, ReLU.

    Source: DeepLab v3 (arXiv 1706.05587), section 3.3.
    """

    def __init__(self, in_channels: int, out_channels: int, *, rates: Sequence[int]) -> None:
        super().__init__()
        self.pointwise = conv_bn_relu(in_channels, out_channels)
        self.atrous = nn.ModuleList(
            conv_bn_relu(in_channels, out_channels, 3, dilation=rate) for rate in rates
        )
        self.pooling = ImagePooling(in_channels, out_channels)
        self.project = conv_bn_relu((2 + len(rates)) * out_channels, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        branches = [self.pointwise(features)]
        branches += [branch(features) for branch in self.atrous]
        branches.append(self.pooling(features))
        return self.project(torch.cat(branches, dim=1))
