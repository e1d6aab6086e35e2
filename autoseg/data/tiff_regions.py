"""Parts of a TIFF, of which no more is read than the strips or tiles that they touch.

The package tifffile, the extra `tiff`, reads them. Only plain files are taken, whose numbers are
what a viewer shows: one page of 8 or 16 bits without a sign, upright, grey or RGB of 8 bits, or
channels beyond a picture's. All others are read as a whole, by the rules of `autoseg.data.images`.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autoseg.data.images import require_regular_file
from autoseg.data.spectral import TIFF_SUFFIXES
from autoseg.data.tiff_layout import require_possible_layout
from autoseg.errors import FileError, reading

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

_BLACK_IS_ZERO, _RGB, _SEPARATE_PLANES = 1, 2, 2  # values of tags
_EXTRA_SAMPLES = 338  # a tag
_PACKINGS = {1, 8, 32946}
"""Ways to pack that tifffile knows by itself: none, and deflate by its two numbers."""
_WITH_IMAGECODECS = {5, 32773, 34925, 50000}
"""LZW, PackBits, LZMA, Zstandard; none of them loses anything, as JPEG does."""
_MAX_SEGMENT = 2**24
"""Pixels of the largest packed strip or tile: a file that is one strip has to be read whole."""


class TiffRegions:
    """A plain TIFF that is open; parts of it are read as its file stores them."""

    def __init__(self, path: Path, file: "TiffFile", page: "TiffPage") -> None:
        """Take an open file and its one page, which `open_tiff_regions` has looked at."""
        self._path = path
        self._page = page
        self._handle = file.filehandle
        self.size = page.imagelength, page.imagewidth
        """Height and width."""
        self.num_channels = page.samplesperpixel
        """C."""
        self.dtype = np.dtype(f"u{page.bitspersample // 8}")
        """uint8 or uint16."""
        self._mapped: NDArray[Any] | None = None
        if page.is_memmappable:
            stored = np.dtype(file.byteorder + self.dtype.char)
            shape = (*self.size, self.num_channels)
            if page.planarconfig == _SEPARATE_PLANES:
                shape = (self.num_channels, *self.size)
            mapped = np.memmap(path, stored, mode="r", offset=page.dataoffsets[0], shape=shape)
            is_last = page.planarconfig != _SEPARATE_PLANES
            self._mapped = np.moveaxis(mapped, -1, 0) if is_last else mapped

    def read(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Read rows and columns, each with both ends: (C, h, w), a copy.

        Raises:
            FileError: If the strips or tiles there are damaged, or packed in a way that tifffile
                needs imagecodecs for and does not have.
        """
        with reading(self._path, "a TIFF that can be read"):
            if self._mapped is not None:
                return self._mapped[:, rows, columns].astype(self.dtype)
            return self._unpack(rows, columns)

    def _unpack(self, rows: slice, columns: slice) -> NDArray[Any]:
        page = self._page
        height, width = _segment_size(page)
        down, across = -(-self.size[0] // height), -(-self.size[1] // width)
        is_separate = page.planarconfig == _SEPARATE_PLANES
        part = np.zeros(
            (self.num_channels, rows.stop - rows.start, columns.stop - columns.start), self.dtype
        )
        for plane, row, column in product(
            range(self.num_channels if is_separate else 1),
            range(rows.start // height, -(-rows.stop // height)),
            range(columns.start // width, -(-columns.stop // width)),
        ):
            index = (plane * down + row) * across + column
            self._handle.seek(page.dataoffsets[index])
            packed = self._handle.read(page.databytecounts[index])
            decoded = page.decode(packed, index, jpegtables=page.jpegtables)[0]
            if decoded is None:
                raise ValueError("pixels are missing")
            top, left = row * height, column * width
            segment = np.moveaxis(decoded[0], -1, 0)  # (channels, height, width)
            inner_rows, outer_rows = _overlap(top, segment.shape[1], rows)
            inner_columns, outer_columns = _overlap(left, segment.shape[2], columns)
            channels = slice(plane, plane + 1) if is_separate else slice(None)
            part[channels, outer_rows, outer_columns] = segment[:, inner_rows, inner_columns]
        return part


@contextmanager
def open_tiff_regions(path: Path) -> Iterator[TiffRegions | None]:
    """Open a TIFF to read parts of it; None if it is no plain one, or tifffile is not installed.

    A damaged one is None as well: whoever reads all of it says what is wrong.

    Raises:
        OSError: If the file is not there or may not be read.
    """
    if path.suffix.lower() not in TIFF_SUFFIXES or find_spec("tifffile") is None:
        yield None
        return
    require_regular_file(path)
    from tifffile import TiffFile

    with ExitStack() as opened:
        regions = None
        with suppress(FileError), reading(path, "a TIFF"):
            require_possible_layout(path)
            file = opened.enter_context(TiffFile(path))
            page = file.pages.first
            if len(file.pages) == 1 and _is_plain(page):
                regions = TiffRegions(path, file, page)
        yield regions


def _is_plain(page: "TiffPage") -> bool:
    samples, photometric = page.samplesperpixel, page.photometric
    is_number = page.sampleformat == 1 and page.bitspersample in (8, 16) and page.imagedepth == 1
    is_picture = (samples, photometric) == (1, _BLACK_IS_ZERO) or (
        (samples, photometric, page.bitspersample) == (3, _RGB, 8)
    )
    is_spectral = samples > 1 and photometric == _BLACK_IS_ZERO and _EXTRA_SAMPLES in page.tags
    orientation = page.tags.get("Orientation")
    is_upright = orientation is None or orientation.value == 1
    if not (is_number and (is_picture or is_spectral) and is_upright):
        return False
    if page.is_memmappable:
        return True
    height, width = _segment_size(page)
    packings = _PACKINGS | (_WITH_IMAGECODECS if find_spec("imagecodecs") else set())
    return height * width <= _MAX_SEGMENT and page.compression in packings


def _segment_size(page: "TiffPage") -> tuple[int, int]:
    """Return height and width of a tile, or of a strip."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _overlap(start: int, length: int, part: slice) -> tuple[slice, slice]:
    """Say which of a segment's rows (or columns) lie in a part, and where in it."""
    first, last = max(start, part.start), min(start + length, part.stop)
    return slice(first - start, last - start), slice(first - part.start, last - part.start)
