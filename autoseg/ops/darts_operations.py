"""The operations of DARTS' cells, in the form that DARTS' code gives them.

They differ from those of Auto-DeepLab's cells (`autoseg.ops.candidates`) in two places: a skip
connection of stride 2 is a `FactorizedReduce`, and pooling has a batch norm in the search alone.

Source: DARTS, arXiv 1806.09055, section 3.1, with the authors' code where the paper is silent.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.architecture import NOISE, OPERATIONS
from autoseg.architecture.operations import MAX_POOL, SKIP
from autoseg.ops.candidates import build_operation


class FactorizedReduce(nn.Module):
    """Halve the map without losing three quarters of it: ReLU, two 1x1 convolutions, batch norm.

    One convolution reads the pixels of even rows and columns, the other one those of odd rows and
    columns; each gives half of the channels. Past the border of an odd map the latter reads 0.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.even = nn.Conv2d(in_channels, half, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(in_channels, out_channels - half, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / 2), ceil(W / 2))."""
        activated = features.relu()
        shifted = F.pad(activated[:, :, 1:, 1:], (0, 1, 0, 1))
        return self.norm(torch.cat([self.even(activated), self.odd(shifted)], dim=1))


class Noise(nn.Module):
    """Values from N(0, 1) of the map's size, from torch's global generator, in evaluation too.

    Source: RobustDARTS (Zela et al. 2020, arXiv 1909.09656), section 3, space S4.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        shape = features[:, :, :: self.stride, :: self.stride].shape
        # Not randn_like: its values would depend on the map's memory format.
        return torch.randn(shape, dtype=features.dtype, device=features.device)


def build_darts_operation(
    name: str, channels: int, stride: int, *, in_search: bool = False
) -> nn.Module:
    """Build an operation of a cell space.

    Args:
        name: Any of `cell_operations()` but "none".
        channels: C of the input and of the output.
        stride: 1, or 2 to halve height and width, rounded up.
        in_search: Whether pooling is followed by a batch norm, which makes its values comparable
            to those of the other candidates.

    Returns:
        A module from (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride)).

    Raises:
        UsageError: If there is no such operation.
    """
    if name == NOISE.name:
        return Noise(stride)
    family = OPERATIONS[name].family if name in OPERATIONS else None
    if family == SKIP and stride == 2:
        return FactorizedReduce(channels, channels)
    if family is not None and family.kind == "pool" and not in_search:
        return _pool(OPERATIONS[name].kernel_size, stride, is_max=family == MAX_POOL)
    return build_operation(name, channels, stride)


def _pool(size: int, stride: int, *, is_max: bool) -> nn.Module:
    if is_max:
        return nn.MaxPool2d(size, stride=stride, padding=size // 2)
    return nn.AvgPool2d(size, stride=stride, padding=size // 2, count_include_pad=False)
