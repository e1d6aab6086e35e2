"""VGG's and AlexNet's two hidden fully connected layers as convolutions.

A linear layer that reads a whole map of k x k positions is a convolution with k x k kernels; as
such it reads a map of any size, and gives what the classifier would for each window. DeepLab makes
the windows overlap less, or read fewer positions, by an atrous rate.

Source: Long et al. 2015 (FCN, arXiv 1411.4038), section 3.1; Chen et al. 2015 (DeepLab v1,
arXiv 1412.7062), section 3.2.
"""

from torch import nn


def fully_connected_layers(
    in_channels: int,
    channels: int,
    *,
    kernel_size: int,
    dilation: int = 1,
    keeps_size: bool = True,
) -> nn.Sequential:
    """Build a convolution, ReLU and dropout, and the same again with 1x1 kernels.

    Args:
        in_channels: Channels of the map.
        channels: Units of each layer.
        kernel_size: Positions that the first layer reads, a side; even ones keep the size if the
            dilation is even.
        dilation: Atrous rate of the first layer.
        keeps_size: Pad the map with zeros (DeepLab); without, only whole windows count (FCN), and
            the result has dilation * (kernel_size - 1) fewer rows and columns.
    """
    padding = dilation * (kernel_size - 1) // 2 if keeps_size else 0
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel_size, padding=padding, dilation=dilation),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Conv2d(channels, channels, 1),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
    )
