"""Strides turned into atrous rates, without touching a weight.

A layer that loses its stride of 2 computes every position instead of every second one; each later
layer then steps over the positions that its kernel never saw, by an atrous rate twice as large. The
strided network's map is the denser one's every second pixel, exactly, borders included: that is
what lets the kernels of a classifier serve a dense prediction.

Source: Chen et al. 2015, "Semantic Image Segmentation with Deep Convolutional Nets and Fully
Connected CRFs" (arXiv 1412.7062), section 3.1, the "hole algorithm".
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.errors import UsageError

OUTPUT_STRIDES = (8, 16, 32)


def check_output_stride(output_stride: int) -> None:
    """Refuse an output stride that no encoder has.

    Raises:
        UsageError: If it is not 8, 16 or 32.
    """
    if output_stride not in OUTPUT_STRIDES:
        raise UsageError(f"output_stride {output_stride}; it can be 8, 16 or 32.")


class AtrousPool2d(nn.Module):
    """Max or average pooling of stride 1 over positions that lie `rate` apart.

    `nn.AvgPool2d` has no rate, and `nn.MaxPool2d` does not pad as far as a rate needs.
    """

    def __init__(
        self, kernel_size: int, *, rate: int, is_average: bool, padding: tuple[int, int] = (0, 0)
    ) -> None:
        """Build the pooling.

        Args:
            kernel_size: Positions in each direction.
            rate: Distance between them.
            is_average: Take the mean rather than the maximum.
            padding: Pixels by which windows reach past the border, above and on the left, below
                and on the right. They take no part in a maximum; a mean takes none.
        """
        super().__init__()
        self.kernel_size = kernel_size
        self.rate = rate
        self.is_average = is_average
        self.padding = padding

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, h, w), by `rate` smaller for each position but the first."""
        if not self.is_average:
            features = F.pad(features, self.padding * 2, value=-math.inf)
            return F.max_pool2d(features, self.kernel_size, stride=1, dilation=self.rate)
        height, width = (side - (self.kernel_size - 1) * self.rate for side in features.shape[2:])
        starts = [self.rate * position for position in range(self.kernel_size)]
        windows = [
            features[:, :, row : row + height, column : column + width]
            for row in starts
            for column in starts
        ]
        return sum(windows[1:], start=windows[0]) / len(windows)

    def extra_repr(self) -> str:
        """Name the settings when the network is printed."""
        kind = "average" if self.is_average else "max"
        return f"{kind}, kernel_size={self.kernel_size}, rate={self.rate}"


POOLINGS = (nn.MaxPool2d, nn.AvgPool2d, AtrousPool2d)


def dilate_(network: nn.Module, *, output_stride: int) -> None:
    """Keep the strides of a network up to a limit, and turn the others into rates, in place.

    Args:
        network: Convolutions and poolings registered in the order in which they run, all of stride
            1 or a power of 2; parallel branches have stride 1.
        output_stride: 8, 16 or 32: stride of the last map.

    Raises:
        UsageError: If the output stride is another one.
    """
    check_output_stride(output_stride)
    stride = rate = 1
    for name, layer in list(network.named_modules()):
        if not isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            continue
        own_stride = _first(layer.stride)
        is_dense = stride * own_stride > output_stride
        if rate > 1 or is_dense:
            dense = _at_rate(layer, rate, stride=1 if is_dense else own_stride)
            parent, _, attribute = name.rpartition(".")
            setattr(network.get_submodule(parent), attribute, dense)
        if is_dense:
            rate *= own_stride
        else:
            stride *= own_stride


def _at_rate(
    layer: nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d, rate: int, *, stride: int
) -> nn.Module:
    """Give the layer that reads every `rate`-th position, with the same weights."""
    if isinstance(layer, nn.Conv2d):
        layer.stride = (stride, stride)
        if layer.kernel_size == (1, 1):
            return layer
        rows, columns = layer.dilation
        layer.dilation = (rate * rows, rate * columns)
        assert not isinstance(layer.padding, str)
        layer.padding = tuple(rate * count for count in layer.padding)
        return layer
    before = after = rate * _first(layer.padding)
    if layer.ceil_mode:
        # The strided pooling's last window may begin one position before the end.
        after += rate * (_first(layer.stride) - 1)
    is_average = isinstance(layer, nn.AvgPool2d)
    assert not (is_average and after), "an average would count the padding"
    return AtrousPool2d(
        _first(layer.kernel_size), rate=rate, is_average=is_average, padding=(before, after)
    )


def _first(size: int | tuple[int, ...]) -> int:
    return size if isinstance(size, int) else size[0]
