"""The block of encoders whose published weights came from TensorFlow and name its parts."""

from collections import OrderedDict

from torch import nn

NORM_EPS = 0.001
"""TensorFlow's constant in batch norm, with which the published weights were trained."""


def named_conv_bn_relu(
    in_channels: int, out_channels: int, kernel_size: int = 1, *, stride: int = 1
) -> nn.Sequential:
    """Build a convolution that keeps the size (over the stride), batch norm and ReLU.

    The parts are called "conv", "bn" and "relu".

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Odd kernel size, the same in both directions.
        stride: Stride; the output has ceil(size / stride) rows and columns.
    """
    convolution = nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=kernel_size // 2,
        bias=False,
    )
    return nn.Sequential(
        OrderedDict(
            conv=convolution,
            bn=nn.BatchNorm2d(out_channels, eps=NORM_EPS),
            relu=nn.ReLU(inplace=True),
        )
    )
