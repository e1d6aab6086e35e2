"""A part of a scaled sample, computed from the part of the sample that it shows."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from autoseg.contract import Sample
from autoseg.upload import to_device

MAX_WHOLE = 2**24
"""Pixels of the largest image that is scaled, and read, as a whole where a part is enough."""


class _Taps(NamedTuple):
    """On one axis, the pixels that each pixel of a scaled part is made of."""

    needed: slice
    """Pixels of the whole that the part needs."""
    indices: Tensor
    """Among those, int64, (num_taps, length of the part)."""
    weights: Tensor
    """Float32, of the same shape; they sum to 1 over the taps."""
    nearest: Tensor
    """Among those, the one whose class a pixel takes, int64, (length of the part,)."""


def scaled_part(
    read: Callable[[slice, slice], Sample],
    image_size: tuple[int, int],
    scaled_size: tuple[int, int],
    rows: slice,
    columns: slice,
) -> tuple[Tensor, Tensor]:
    """Return rows and columns of a sample as scaled.

    The filter is that of `torch.nn.functional.interpolate`, bilinear, with `antialias` and
    `align_corners=False`, and classes are those of `autoseg.data.resize_label`. Image values agree
    with torch's up to rounding, which for torch is that of a place in the whole image in float32.

    Args:
        read: Gives rows and columns of the sample, each with both ends.
        image_size: Height and width of the sample.
        scaled_size: Height and width of the scaled sample.
        rows: Rows of the scaled sample, with both ends.
        columns: Columns of it.

    Returns:
        Image, float32 in [0, 1], (C, h, w), and classes, (h, w).
    """
    down = _taps(rows, image_size[0], scaled_size[0])
    across = _taps(columns, image_size[1], scaled_size[1])
    part = read(down.needed, across.needed)
    image = _weighted(_weighted(part.image, across, dim=2), down, dim=1) / 255
    device = part.target.device
    nearest_rows, nearest_columns = (to_device(axis.nearest, device) for axis in (down, across))
    return image, part.target[nearest_rows[:, None], nearest_columns]


def _taps(part: slice, old: int, new: int) -> _Taps:
    """Lay a triangle around the centre of each pixel, as wide as a pixel of the coarser grid."""
    places = torch.arange(part.start, part.stop)
    step = old / new
    reach = max(step, 1.0)
    centres = (places.to(torch.float64) + 0.5) * step
    first = (centres - reach + 0.5).to(torch.int64).clamp(min=0)
    stop = (centres + reach + 0.5).to(torch.int64).clamp(max=old)
    indices = first + torch.arange(int((stop - first).max()))[:, None]
    weights = (1 - (indices + 0.5 - centres).abs() / reach).clamp(min=0)
    weights[indices >= stop] = 0
    needed = slice(int(first[0]), int(stop[-1]))
    return _Taps(
        needed,
        indices.clamp(max=needed.stop - 1) - needed.start,
        (weights / weights.sum(0)).to(torch.float32),
        (2 * places + 1) * old // (2 * new) - needed.start,
    )


def _weighted(pixels: Tensor, taps: _Taps, *, dim: int) -> Tensor:
    """Sum weighted pixels along an axis, tap by tap: each sum is the same in a part of any size."""
    shape = [1, 1, 1]
    shape[dim] = -1
    total = torch.zeros((), device=pixels.device)
    all_indices, all_weights = (
        to_device(each, pixels.device) for each in (taps.indices, taps.weights)
    )
    for indices, weights in zip(all_indices, all_weights, strict=True):
        chosen = pixels.index_select(dim, indices).to(torch.float32)
        total = total + chosen * weights.view(shape)
    return total
