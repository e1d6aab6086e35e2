"""Convolution blocks that networks are made of."""

from torch import nn


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    """Build a convolution without bias that keeps the size (over the stride), then batch norm.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Odd kernel size, the same in both directions.
        stride: Stride; the output has ceil(size / stride) rows and columns.
        dilation: Atrous rate.
        groups: Groups of the convolution; `in_channels` for a depthwise one.
    """
    padding = dilation * (kernel_size - 1) // 2
    return nn.Sequential(
        nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=False,
        ),
        nn.BatchNorm2d(out_channels),
    )


def conv_bn_relu(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    """Build `conv_bn` with a ReLU after it; the arguments are the same."""
    return nn.Sequential(
        *conv_bn(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            dilation=dilation,
            groups=groups,
        ),
        nn.ReLU(inplace=True),
    )
