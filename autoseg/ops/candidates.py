"""Candidate operations as modules of a derived network, one edge each.

The supernet evaluates the same operations for many edges at once (`autoseg.supernet.source_op`);
these modules are what a decoded edge becomes. At stride 1 each equals its form in the search. The
batch norm after pooling, which DARTS drops when it retrains, is kept for that reason.

Source: DARTS, arXiv 1806.09055, section 3.1; Auto-DeepLab, arXiv 1901.02985, section 3.1, and for
stride 2 the authors' TensorFlow cell.
"""

from torch import Tensor, nn

from autoseg.architecture import NO_OPERATION, OPERATIONS, Operation
from autoseg.architecture.operations import MAX_POOL
from autoseg.errors import unknown_name
from autoseg.ops.blocks import conv_bn
from autoseg.ops.registered import RegisteredOperation
from autoseg.ops.resize import resize, strided


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

    def __init__(self, channels: int, kernel_size: int, *, stride: int, dilation: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = conv_bn(channels, channels, kernel_size, dilation=dilation // stride)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        height, width = features.shape[2:]
        size = (strided(height, self.stride), strided(width, self.stride))
        return self.conv(resize(features.relu(), size, align_corners=True))


def build_operation(name: str, channels: int, stride: int) -> nn.Module:
    """Build an operation of the table.

    Args:
        name: Any but "none".
        channels: C of the input and of the output.
        stride: 1, or 2 to halve height and width, rounded up.

    Returns:
        A module from (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride)).

    Raises:
        UsageError: If there is no such operation.
    """
    if name == NO_OPERATION or name not in OPERATIONS:
        raise unknown_name("operation", name, [each for each in OPERATIONS if each != NO_OPERATION])
    operation = OPERATIONS[name]
    if operation.build is not None:
        return RegisteredOperation(operation, channels, stride)
    assert operation.family is not None
    match operation.family.kind:
        case "identity":
            return _skip(channels, stride)
        case "pool":
            return _pool(operation, channels, stride)
        case "separable":
            return _separable(operation, channels, stride)
        case "full":
            size, rate = operation.kernel_size, operation.rate
            return Atrous(channels, size, stride=stride, dilation=rate)


def _skip(channels: int, stride: int) -> nn.Module:
    if stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.ReLU(), *conv_bn(channels, channels, stride=stride))


def _pool(operation: Operation, channels: int, stride: int) -> nn.Module:
    size, padding = operation.kernel_size, operation.kernel_size // 2
    pool = (
        nn.MaxPool2d(size, stride=stride, padding=padding)
        if operation.family == MAX_POOL
        else nn.AvgPool2d(size, stride=stride, padding=padding, count_include_pad=False)
    )
    return nn.Sequential(pool, nn.BatchNorm2d(channels))


def _separable(operation: Operation, channels: int, stride: int) -> nn.Module:
    assert operation.family is not None
    size, rate = operation.kernel_size, operation.rate
    first, *rest = (
        DepthwiseSeparable(channels, size, stride=stride if i == 0 else 1, dilation=rate)
        for i, _ in enumerate(operation.family.stages)
    )
    return nn.Sequential(first, *rest) if rest else first
