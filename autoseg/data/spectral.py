"""TIFFs of more channels than a picture has, as cameras and satellites write them.

Pillow reads pictures: of a TIFF of red, green, blue and further channels it shows three and says
nothing, and most others it refuses. The package tifffile, the extra `tiff`, reads them all. Whether
a file is of that kind, its tags say: it has samples beyond those of its colours, and more than one
that tells transparency.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoseg.data.images import require_regular_file
from autoseg.data.tiff_layout import (
    EXTRA,
    HEIGHT,
    PHOTOMETRIC,
    SAMPLES,
    WIDTH,
    read_directory,
    require_possible_layout,
)
from autoseg.errors import FileError, UsageError, reading
from autoseg.foreign_text import printable

TIFF_SUFFIXES = (".tif", ".tiff")
"""Endings of TIFFs."""

_NUM_COLOURS = {2: 3, 5: 4, 6: 3, 8: 3}  # RGB, CMYK, YCbCr, Lab; all others have one
_ALPHA = (1, 2)  # kinds of an extra sample: transparency, of colours multiplied by it or not
_CHANNEL_AXIS = {"YXS": 2, "SYX": 0}


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
    directory = read_directory(path)
    if directory is None:
        return None  # cut off: whoever reads the picture says so
    samples = directory.one(SAMPLES, 1)
    num_extra = samples - _NUM_COLOURS.get(directory.one(PHOTOMETRIC, 0), 1)
    is_picture = num_extra <= 0 or (num_extra == 1 and directory.one(EXTRA, 0) in _ALPHA)
    size = directory.one(HEIGHT, -1), directory.one(WIDTH, -1)
    return None if is_picture or -1 in size else SpectralHeader(size=size, num_channels=samples)


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
    require_possible_layout(path)
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
        page = file.pages.first
        if len(page.databytecounts) < len(page.dataoffsets):
            raise ValueError("the sizes of its strips or tiles are missing")  # zeros to tifffile
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
