"""Atrous spatial pyramid pooling."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.ops.blocks import conv_bn_relu, separable_conv_bn_relu


class ImagePooling(nn.Module):
    """Average the whole map, project it by a 1x1 convolution, and spread it over the map again.

    A batch of 1 leaves one value a channel, whose statistics say nothing: normalised with them it
    would be 0 whatever the image. In training such a batch is therefore normalised with the running
    statistics, as in evaluation, and does not change them. Where every batch is of 1 they stay at
    mean 0 and variance 1, and the learned scale and shift alone do the work.

    Source: Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation"
    (DeepLab v3), section 3.3, "image-level features".
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.project = conv_bn_relu(in_channels, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, out_channels, H, W), constant over H and W."""
        mean = features.mean(dim=(2, 3), keepdim=True)
        is_single = self.training and features.shape[0] == 1
        pooled = self._project_single(mean) if is_single else self.project(mean)
        return pooled.expand(-1, -1, *features.shape[2:])

    def _project_single(self, mean: Tensor) -> Tensor:
        convolution, norm, activation = self.project
        assert isinstance(norm, nn.BatchNorm2d)
        normalised = F.batch_norm(
            convolution(mean),
            norm.running_mean,
            norm.running_var,
            weight=norm.weight,
            bias=norm.bias,
            training=False,
            eps=norm.eps,
        )
        return activation(normalised)


class ASPP(nn.Module):
    """Look at the same map through several fields of view, and project the result.

    Branches: a 1x1 convolution, one 3x3 atrous convolution a rate, and image pooling, each followed
    by batch norm and ReLU; their concatenation is projected by a 1x1 convolution, batch norm, ReLU.

    Source: DeepLab v3 (arXiv 1706.05587), section 3.3.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        rates: Sequence[int],
        is_separable: bool = False,
    ) -> None:
        """Build the branches.

        Args:
            in_channels: Channels of the map.
            out_channels: Channels of each branch, and of the result.
            rates: Atrous rate of each 3x3 convolution.
            is_separable: Make the 3x3 convolutions depthwise separable (DeepLab v3+, section 3.1).
        """
        super().__init__()
        convolve = separable_conv_bn_relu if is_separable else conv_bn_relu
        self.pointwise = conv_bn_relu(in_channels, out_channels)
        self.atrous = nn.ModuleList(
            convolve(in_channels, out_channels, 3, dilation=rate) for rate in rates
        )
        self.pooling = ImagePooling(in_channels, out_channels)
        self.project = conv_bn_relu((2 + len(rates)) * out_channels, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        branches = [self.pointwise(features)]
        branches += [branch(features) for branch in self.atrous]
        branches.append(self.pooling(features))
        return self.project(torch.cat(branches, dim=1))
