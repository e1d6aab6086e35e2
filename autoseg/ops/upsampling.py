"""The ways in which networks enlarge a map, besides `resize`.

`nn.PixelShuffle` (sub-pixel convolution, DUC) needs no code of its own.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def bilinear_kernel(size: int) -> Tensor:
    """Compute the kernel with which a transposed convolution interpolates bilinearly.

    Returns:
        (size, size), float32: the outer product of a tent of half-width ceil(size / 2) with
        itself. It interpolates if the stride is that half-width: size 4 and stride 2, 32 and 16.

    Source: Long et al. 2015, "Fully Convolutional Networks for Semantic Segmentation"
    (arXiv 1411.4038), section 3.3.
    """
    half = (size + 1) // 2
    distance = (torch.arange(size) - (size - 1) / 2).abs()
    tent = 1 - distance / half
    return torch.outer(tent, tent)


def bilinear_upsampler(channels: int, kernel_size: int, *, stride: int) -> nn.ConvTranspose2d:
    """Build a transposed convolution that enlarges each channel bilinearly, and does not learn.

    The weight is full, (channels, channels, kernel_size, kernel_size), with the kernel on the
    diagonal and zeros elsewhere, as FCN's release stores it; it is a frozen parameter. There is no
    bias. The output has (side - 1) * stride + kernel_size rows or columns; crop it.

    Args:
        channels: Channels of input and output.
        kernel_size: Side of the kernel, 2 * stride or 2 * stride - 1.
        stride: Factor of the enlargement.
    """
    layer = nn.ConvTranspose2d(channels, channels, kernel_size, stride=stride, bias=False)
    kernel = bilinear_kernel(kernel_size).to(layer.weight.device)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[torch.arange(channels), torch.arange(channels)] = kernel
    layer.weight.requires_grad_(False)
    return layer


def pool_with_indices(features: Tensor) -> tuple[Tensor, Tensor]:
    """Halve a map by 2x2 max pooling, rounding up (Caffe's way), and remember the places.

    Args:
        features: (N, C, H, W), any H and W.

    Returns:
        The maxima, and the place of each in its channel as row * W + column, int64; both
        (N, C, ceil(H / 2), ceil(W / 2)).
    """
    return F.max_pool2d_with_indices(features, [2, 2], stride=[2, 2], ceil_mode=True)


Places = tuple[Tensor, Sequence[int]]
"""The indices that a pooling remembered, and height and width of the map before it."""


def pool_after_each(blocks: Iterable[nn.Module], features: Tensor) -> tuple[Tensor, list[Places]]:
    """Apply blocks, with a pooling after each.

    Args:
        blocks: Modules that keep the size.
        features: (N, C, H, W), any H and W.

    Returns:
        The last pooled map, and what `unpool_before_each` needs of each pooling, in order.
    """
    places = []
    for block in blocks:
        features = block(features)
        size = features.shape[2:]
        features, indices = pool_with_indices(features)
        places.append((indices, size))
    return features, places


def unpool_before_each(
    blocks: Iterable[nn.Module], features: Tensor, places: Sequence[Places]
) -> Tensor:
    """Apply blocks that mirror those of `pool_after_each`, with an unpooling before each.

    Args:
        blocks: As many modules, which keep the size; the first undoes the last pooling.
        features: (N, C, h, w), of the size of the last pooled map.
        places: What `pool_after_each` returned.
    """
    for block, (indices, size) in zip(blocks, reversed(places), strict=True):
        features = block(unpool(features, indices, size))
    return features


def unpool(features: Tensor, indices: Tensor, size: Sequence[int]) -> Tensor:
    """Put each value back to the place that its pooling remembered, among zeros.

    Args:
        features: (N, C, h, w).
        indices: From `pool_with_indices`, (N, C, h, w).
        size: Height and width of the map before that pooling. They are needed: two sizes have the
            same half.

    Returns:
        (N, C, *size).
    """
    # Not F.max_unpool2d: it compares sizes first, which torch.jit's tracer refuses.
    return torch.ops.aten.max_unpool2d(features, indices, list(size))
