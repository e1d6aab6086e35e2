"""Candidate operations as modules of a derived network, one edge each.

The supernet evaluates the same operations for many edges at once (`autoseg.supernet.source_op`);
these modules are what a decoded edge becomes. At stride 1 each equals its form in the search. The
batch norm after pooling, which DARTS drops when it retrains, is kept for that reason.

Source: DARTS, arXiv 1806.09055, section 3.1; Auto-DeepLab, arXiv 1901.02985, section 3.1, and for
stride 2 the authors' TensorFlow cell.
"""

from collections.abc import Callable

from torch import Tensor, nn

from autoseg.ops.blocks import conv_bn
from autoseg.ops.resize import resize


class DepthwiseSeparable(nn.Sequential):
    """ReLU, depthwise convolution, pointwise convolution, batch norm."""

    def __init__(self, channels: int, kernel_size: int, *, stride: int, dilation: int = 1) -> None:
        padding = dilation * (kernel_size - 1) // 2
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(
                channels,
                channels,
                kernel_size,
                stride=stride,
                padding=padding,
                dilation=dilation,
                groups=channels,
                bias=False,
            ),
            *conv_bn(channels, channels),
        )


class Atrous(nn.Module):
    """ReLU, full convolution at rate 2, batch norm.

    At stride 2 the map is halved bilinearly after the ReLU and the rate is 1, so that the field of
    view in pixels of the input stays.
    """

    def __init__(self, channels: int, kernel_size: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = conv_bn(channels, channels, kernel_size, dilation=2 if stride == 1 else 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        height, width = features.shape[2:]
        size = (-(-height // self.stride), -(-width // self.stride))
        return self.conv(resize(features.relu(), size, align_corners=True))


def _separable_twice(channels: int, kernel_size: int, stride: int) -> nn.Module:
    return nn.Sequential(
        DepthwiseSeparable(channels, kernel_size, stride=stride),
        DepthwiseSeparable(channels, kernel_size, stride=1),
    )


def _skip(channels: int, stride: int) -> nn.Module:
    if stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.ReLU(), *conv_bn(channels, channels, stride=stride))


def _max_pool(channels: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.MaxPool2d(3, stride=stride, padding=1), nn.BatchNorm2d(channels))


def _average_pool(channels: int, stride: int) -> nn.Module:
    pool = nn.AvgPool2d(3, stride=stride, padding=1, count_include_pad=False)
    return nn.Sequential(pool, nn.BatchNorm2d(channels))


CANDIDATES: dict[str, Callable[[int, int], nn.Module]] = {
    "skip_connect": _skip,
    "max_pool_3x3": _max_pool,
    "avg_pool_3x3": _average_pool,
    "sep_conv_3x3": lambda channels, stride: _separable_twice(channels, 3, stride),
    "sep_conv_5x5": lambda channels, stride: _separable_twice(channels, 5, stride),
    "dil_conv_3x3": lambda c, stride: DepthwiseSeparable(c, 3, stride=stride, dilation=2),
    "dil_conv_5x5": lambda c, stride: DepthwiseSeparable(c, 5, stride=stride, dilation=2),
    "atrous_conv_3x3": lambda channels, stride: Atrous(channels, 3, stride=stride),
    "atrous_conv_5x5": lambda channels, stride: Atrous(channels, 5, stride=stride),
}
"""Builder of each operation from (channels, stride); stride is 1 or 2."""
