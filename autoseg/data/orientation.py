"""How a picture is turned: the orientation that cameras write beside the pixels."""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_ORIENTATION, _WIDTH, _HEIGHT = 0x0112, 256, 257  # tags of TIFF, and so of EXIF
SIDEWAYS = (5, 6, 7, 8)
"""Orientations that swap rows and columns."""

_NOTES = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")  # a PNG's chunks that may hold an orientation


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1, as stored, where there is none or no such number.

    Args:
        image: A loaded image: a PNG may hold it behind the pixels, and Pillow turns a TIFF itself.
    """
    # Not image.getexif(), which decodes a PNG's pixels to see what stands behind them.
    value = Image.Image.getexif(image).get(_ORIENTATION)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def upright(pixels: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Turn stored pixels as viewers show them.

    Args:
        pixels: (H, W, ...), row and column as stored.
        orientation: EXIF's number, 1 to 8.

    Returns:
        A contiguous array; (W, H, ...) for orientations 5 to 8.

    Source: Exif 2.32, tag 0x0112: where row 0 and column 0 lie in the visual image.
    """
    turned = {
        1: lambda: pixels,
        2: lambda: pixels[:, ::-1],
        3: lambda: pixels[::-1, ::-1],
        4: lambda: pixels[::-1],
        5: lambda: pixels.swapaxes(0, 1),
        6: lambda: np.rot90(pixels, -1),
        7: lambda: pixels[::-1, ::-1].swapaxes(0, 1),
        8: lambda: np.rot90(pixels),
    }[orientation]()
    return np.ascontiguousarray(turned)


def stored_part(
    rows: slice, columns: slice, size: tuple[int, int], orientation: int
) -> tuple[slice, slice]:
    """Say which stored pixels, turned by `upright`, are a part of the picture that is shown.

    Args:
        rows: Rows of the part as shown, with both ends.
        columns: Columns of it.
        size: Height and width of the whole picture as shown.
        orientation: EXIF's number, 1 to 8.

    Returns:
        Rows and columns as stored.
    """
    height, width = size
    from_below = slice(height - rows.stop, height - rows.start)
    from_right = slice(width - columns.stop, width - columns.start)
    return {
        1: (rows, columns),
        2: (rows, from_right),
        3: (from_below, from_right),
        4: (from_below, columns),
        5: (columns, rows),
        6: (from_right, rows),
        7: (from_right, from_below),
        8: (columns, from_below),
    }[orientation]


def shown_size(image: Image.Image, path: Path) -> tuple[int, int]:
    """Return height and width of an opened image as shown; its pixels are read only if need be."""
    if image.format == "PNG" and "exif" not in image.info and _has_notes_behind_pixels(path):
        image.load()
    tags = getattr(image, "tag_v2", {})  # Pillow may have swapped a TIFF's sizes already
    width, height = tags.get(_WIDTH, image.width), tags.get(_HEIGHT, image.height)
    return (width, height) if orientation(image) in SIDEWAYS else (height, width)


def _has_notes_behind_pixels(path: Path) -> bool:
    """Tell whether text or EXIF follows a PNG's pixels; the pixels are skipped, not read."""
    is_behind = False
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if is_behind and kind in _NOTES:
                return True
            is_behind |= kind == b"IDAT"
            file.seek(length + 4, 1)
    return False
