"""Bilinear resizing of a part, equal to that part of the whole resized.

The whole need not be there, neither before nor after. Pixels have their centres at half numbers, as
with align_corners=False.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ReadPart = Callable[[slice, slice], NDArray[np.uint8]]
"""Gives rows and columns of an image, uint8, (C, h, w)."""

_MAX_VALUES = 2**24  # float32 that are held at a time: 64 MiB
_NUM_COLUMNS = 64  # made by one small matrix: one for all would be nothing but zeros


def resized_part(
    read: ReadPart,
    size: tuple[int, int],
    resized_size: tuple[int, int],
    rows: slice,
    columns: slice,
    *,
    num_channels: int,
) -> Tensor:
    """Resize an image, averaging where it shrinks, and give a part of the result.

    Args:
        read: Reads parts of the image.
        size: Height and width of the image.
        resized_size: Height and width of the whole result.
        rows: Rows of the result, with both ends.
        columns: Columns of it.
        num_channels: C.

    Returns:
        float32, (C, h, w), in [0, 255].
    """
    needed = _sources(size[1], resized_size[1], columns)
    values_a_row = num_channels * (needed.stop - needed.start)
    ratio = size[0] / resized_size[0]
    num_rows = max(1, int((_MAX_VALUES / values_a_row - 2 * max(ratio, 1)) / ratio))
    parts = []
    for start in range(rows.start, rows.stop, num_rows):
        wanted = slice(start, min(start + num_rows, rows.stop))
        band = _sources(size[0], resized_size[0], wanted)
        pixels = torch.from_numpy(read(band, needed)).to(torch.float32)
        narrow = _shrink_columns(pixels, size[1], resized_size[1], columns, needed)
        parts.append(_weights(size[0], resized_size[0], wanted, band) @ narrow)
    return torch.cat(parts, dim=1)


def enlarged_part(
    maps: Tensor,
    place: tuple[int, int],
    size: tuple[int, int],
    resized_size: tuple[int, int],
    rows: slice,
    columns: slice,
) -> Tensor:
    """Resize maps without averaging, and give a part of the result.

    Args:
        maps: The part of the whole maps that is there, float, (K, h, w).
        place: First row and column of `maps` in the whole.
        size: Height and width of the whole maps.
        resized_size: Height and width of the whole result.
        rows: Rows of the result, with both ends; they lie within what is there.
        columns: Columns of it.

    Returns:
        (K, rows, columns), dtype of the maps.
    """
    for axis, wanted in ((1, rows), (2, columns)):
        number = axis - 1
        ratio = size[number] / resized_size[number]
        centres = torch.arange(wanted.start, wanted.stop, device=maps.device, dtype=torch.float64)
        places = ((centres + 0.5) * ratio - 0.5).clamp(0, size[number] - 1)
        lower = places.floor().to(torch.int64)
        upper = (lower + 1).clamp(max=size[number] - 1)
        share = (places - lower).to(maps.dtype)
        lower, upper = (
            (each - place[number]).clamp(0, maps.shape[axis] - 1) for each in (lower, upper)
        )
        maps = torch.lerp(
            maps.index_select(axis, lower),
            maps.index_select(axis, upper),
            share[:, None] if axis == 1 else share,
        )
    return maps


def _shrink_columns(
    pixels: Tensor, length: int, resized_length: int, columns: slice, needed: slice
) -> Tensor:
    """Resize the last axis of (C, h, w), whose first column is `needed.start` of the image."""
    parts = []
    for start in range(columns.start, columns.stop, _NUM_COLUMNS):
        wanted = slice(start, min(start + _NUM_COLUMNS, columns.stop))
        sources = _sources(length, resized_length, wanted)
        part = pixels[:, :, sources.start - needed.start : sources.stop - needed.start]
        parts.append(part @ _weights(length, resized_length, wanted, sources).T)
    return torch.cat(parts, dim=2)


def _sources(length: int, resized_length: int, wanted: slice) -> slice:
    """Say which places of an axis the wanted places of the resized axis are averages of."""
    ratio = length / resized_length
    reach = max(1.0, ratio)
    first = math.floor((wanted.start + 0.5) * ratio - reach)
    last = math.ceil((wanted.stop - 0.5) * ratio + reach)
    return slice(max(0, first), min(length, last))


def _weights(length: int, resized_length: int, wanted: slice, sources: slice) -> Tensor:
    """Return each source's share in each wanted place, (wanted, sources)."""
    ratio = length / resized_length
    centres = (torch.arange(wanted.start, wanted.stop, dtype=torch.float64) + 0.5) * ratio
    places = torch.arange(sources.start, sources.stop, dtype=torch.float64) + 0.5
    distances = (places - centres[:, None]).abs() / max(1.0, ratio)
    shares = (1 - distances).clamp(min=0)
    return (shares / shares.sum(dim=1, keepdim=True)).to(torch.float32)
