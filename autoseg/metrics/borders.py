"""Where labels change: bands around borders.

Distances of bands are in rows or columns, whichever is larger (chessboard distance): a band of
width 2 around a straight border is 2 pixels wide on either side, as with a square window.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def border_band(labels: Tensor, *, width: int, ignore_index: int) -> Tensor:
    """Find the labelled pixels within `width` of one that has another label.

    Args:
        labels: Class of each pixel, integer, (H, W), or `ignore_index`, which is no class and makes
            no border; neither does the edge of the image.
        width: Chessboard distance in pixels, 1 or more.
        ignore_index: Label of pixels without a class.

    Returns:
        bool, (H, W).
    """
    is_void = labels == ignore_index
    values = labels.float()  # exact: labels are far below 2**24
    highest = _window_max(values.masked_fill(is_void, -math.inf), width)
    lowest = -_window_max(-values.masked_fill(is_void, math.inf), width)
    return ~is_void & ((highest != values) | (lowest != values))


def void_band(labels: Tensor, *, width: int, ignore_index: int) -> Tensor:
    """Find the labelled pixels within `width` of one without a class; as `border_band`."""
    is_void = labels == ignore_index
    return ~is_void & (_window_max(is_void.float(), width) > 0)


def inner_band(labels: Tensor, *, width: int, outside: int) -> Tensor:
    """Find the pixels within `width` of anything that has another label, or of the image's edge.

    Args:
        labels: Label of each pixel, integer, (H, W); pixels without a class have a label as well.
        width: Chessboard distance in pixels, 1 or more.
        outside: Label of all that lies around the image.

    Returns:
        bool, (H, W).
    """
    values = F.pad(labels.float(), (width,) * 4, value=float(outside))
    is_inner = (_window_max(values, width) != values) | (-_window_max(-values, width) != values)
    return is_inner[width:-width, width:-width]


def within(mask: Tensor, *, distance: int) -> Tensor:
    """Find the pixels within a Euclidean distance of a mask's pixels.

    Args:
        mask: bool, (H, W).
        distance: Pixels, 0 or more.

    Returns:
        bool, (H, W).
    """
    found = mask.clone()
    num_rows = len(mask)
    for dy in range(min(distance, num_rows - 1) + 1):
        reach = math.isqrt(distance**2 - dy**2)
        is_near = _sliding_max(F.pad(mask, (reach, reach)), 2 * reach + 1, dim=1)
        found[dy:] |= is_near[: num_rows - dy]
        found[: num_rows - dy] |= is_near[dy:]
    return found


def _window_max(values: Tensor, width: int) -> Tensor:
    """Take the largest value within `width` rows and columns; (H, W), the edge adds nothing."""
    padded = F.pad(values, (width,) * 4, value=-math.inf)
    return _sliding_max(_sliding_max(padded, 2 * width + 1, dim=0), 2 * width + 1, dim=1)


def _sliding_max(values: Tensor, size: int, *, dim: int) -> Tensor:
    """Take the largest of each `size` neighbours along a dimension, which gets shorter by size - 1.

    Windows of 1, 2, 4, ... values are made of two of half the size, and the last of two that
    overlap: several times faster than max-pooling, whose time grows with the size.
    """
    reach = 1
    while reach < size:
        shift = min(reach, size - reach)
        length = values.shape[dim] - shift
        values = torch.maximum(values.narrow(dim, 0, length), values.narrow(dim, shift, length))
        reach += shift
    return values
