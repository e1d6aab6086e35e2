"""TIFFs of more channels than a picture has, as cameras and satellites write them.

Pillow reads pictures: of a TIFF of red, green, blue and further channels it shows three and says
nothing, and most others it refuses. The package tifffile, the extra `tiff`, reads them all. Whether
a file is of that kind, its tags say: it has samples beyond those of its colours, and more than one
that tells transparency.
"""

import math
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoseg.data.images import require_regular_file
from autoseg.errors import FileError, UsageError, reading
from autoseg.foreign_text import printable

TIFF_SUFFIXES = (".tif", ".tiff")
"""Endings of TIFFs."""

_WIDTH, _HEIGHT, _PHOTOMETRIC, _SAMPLES, _EXTRA = 256, 257, 262, 277, 338  # tags
_NUM_COLOURS = {2: 3, 5: 4, 6: 3, 8: 3}  # RGB, CMYK, YCbCr, Lab; all others have one
_ALPHA = (1, 2)  # kinds of an extra sample: transparency, of colours multiplied by it or not
_CHANNEL_AXIS = {"YXS": 2, "SYX": 0}
_MAX_TAGS = 4096
# Where the first page's place stands, how it is written, the number of tags, and each tag: its
# number, kind, count, and value or place.
_CLASSIC = (4, "L", "H", "HHL4s")
_BIG = (8, "Q", "Q", "HHQ8s")


class SpectralHeader(NamedTuple):
    """What the tags of a TIFF of many channels say."""

    size: tuple[int, int]
    """Height and width."""
    num_channels: int


def spectral_header(path: Path) -> SpectralHeader | None:
    """Read the header of a TIFF of many channels; None if the file is a picture, or no TIFF.

    Raises:
        OSError: If the file is not there or may not be read.
    """
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return None
    require_regular_file(path)
    with reading(path, "a TIFF"):
        try:
            tags = _tags(path)
        except struct.error:
            return None  # cut off: whoever reads the picture says so
    samples = tags.get(_SAMPLES, 1)
    num_extra = samples - _NUM_COLOURS.get(tags.get(_PHOTOMETRIC, 0), 1)
    is_picture = num_extra <= 0 or (num_extra == 1 and tags.get(_EXTRA) in _ALPHA)
    if is_picture or _WIDTH not in tags or _HEIGHT not in tags:
        return None
    return SpectralHeader(size=(tags[_HEIGHT], tags[_WIDTH]), num_channels=samples)


def read_spectral(path: Path, header: SpectralHeader) -> NDArray[Any]:
    """Read every channel of a TIFF as it is stored.

    Args:
        path: The file.
        header: What `spectral_header` read, whose size the caller has checked.

    Returns:
        (C, H, W), of the file's own numbers.

    Raises:
        UsageError: If tifffile is not installed.
        FileError: If the file is damaged, packed in a way that tifffile needs imagecodecs for and
            does not have, or has pages besides.
        OSError: If it is not there or may not be read.
    """
    require_tifffile(path)
    from tifffile import TiffFile

    with reading(path, "a TIFF that can be read"), TiffFile(path) as file:
        series = file.series
        axes = series[0].axes if len(series) == 1 else f"{len(series)} series"
        if axes not in _CHANNEL_AXIS:
            raise FileError(
                f"{printable(str(path))} holds several pages or frames ({axes}); save one page "
                "with all channels, or an array, .npy."
            )
        if sorted(series[0].shape) != sorted((*header.size, header.num_channels)):
            raise ValueError(f"its tags speak of {header}, its pixels of {series[0].shape}")
        # tifffile gives zeros in place of strips that the file lacks.
        page = file.pages.first
        if len(page.dataoffsets) < math.prod(page.chunked) or 0 in page.databytecounts:
            raise ValueError("pixels are missing")
        pixels = np.asarray(series[0].asarray())
        if pixels.shape != series[0].shape:
            raise ValueError("pixels are missing")
    return np.moveaxis(pixels, _CHANNEL_AXIS[axes], 0)


def require_tifffile(path: Path) -> None:
    """Say how to read a TIFF of many channels where nothing is installed for it.

    Raises:
        UsageError: If tifffile is not installed.
    """
    if find_spec("tifffile") is None:
        raise UsageError(
            f"{printable(str(path))} has channels beyond a picture's, which tifffile reads, and it "
            "is not installed: pip install 'autoseg-nas[tiff]'; or save the images as arrays, "
            ".npy. With channels = 3 in dataset.toml they are read as the pictures that a viewer "
            "shows."
        )


def _tags(path: Path) -> dict[int, int]:
    """Read the tags of a TIFF's first page that hold one whole number, or begin with one."""
    with path.open("rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None:
            return {}
        (version,) = struct.unpack(f"{order}H", head[2:4])
        if version not in (42, 43):
            return {}
        # 43: BigTIFF, for files of more than 4 GiB.
        start_at, word, count_as, entry = _BIG if version == 43 else _CLASSIC
        (start,) = struct.unpack_from(f"{order}{word}", head, start_at)
        file.seek(start)
        (count,) = struct.unpack(f"{order}{count_as}", file.read(struct.calcsize(count_as)))
        entry_size = struct.calcsize(f"{order}{entry}")
        content = file.read(min(count, _MAX_TAGS) * entry_size)
    tags = {}
    for tag, kind, _, value in struct.iter_unpack(f"{order}{entry}", content):
        if kind in (3, 4):  # of 16 or of 32 bits
            letter = "H" if kind == 3 else "L"
            tags[tag] = struct.unpack_from(f"{order}{letter}", value)[0]
    return tags
