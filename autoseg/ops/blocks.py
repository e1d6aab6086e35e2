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
    bias: bool = False,
) -> nn.Sequential:
    """Build a convolution that keeps the size (over the stride), then batch norm.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Odd kernel size, the same in both directions.
        stride: Stride; the output has ceil(size / stride) rows and columns.
        dilation: Atrous rate.
        groups: Groups of the convolution; `in_channels` for a depthwise one.
        bias: Whether the convolution has a bias. Batch norm takes it out again in training; some
            published networks have it all the same, and count it.
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
            bias=bias,
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
    bias: bool = False,
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
            bias=bias,
        ),
        nn.ReLU(inplace=True),
    )


def conv_relu(
    in_channels: int, out_channels: int, kernel_size: int = 1, *, dilation: int = 1
) -> nn.Sequential:
    """Build a convolution with bias that keeps the size, then a ReLU; the form before batch norm.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Odd kernel size; even ones keep the size too if the dilation is even.
        dilation: Atrous rate.
    """
    padding = dilation * (kernel_size - 1) // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation),
        nn.ReLU(inplace=True),
    )


def separable_conv_bn_relu(
    in_channels: int, out_channels: int, kernel_size: int = 3, *, dilation: int = 1
) -> nn.Sequential:
    """Build a depthwise and a pointwise convolution, with batch norm and ReLU after each.

    The arguments are those of `conv_bn_relu`.

    Source: DeepLab v3+ (arXiv 1802.02611), section 3.1, "atrous separable convolution".
    """
    return nn.Sequential(
        *conv_bn_relu(in_channels, in_channels, kernel_size, dilation=dilation, groups=in_channels),
        *conv_bn_relu(in_channels, out_channels),
    )
