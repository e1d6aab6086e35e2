"""Images of as many channels as a dataset has: grey, RGB, or arrays and TIFFs of up to 16.

Rules, beside those of `autoseg.data.images`, which reads every picture:

- A picture is RGB; as one channel it is its grey, 0.299 R + 0.587 G + 0.114 B, which of a grey
  picture is the picture itself.
- TIFFs with channels beyond a picture's keep all of them. Where one or three are asked for, they
  are read as the picture that a viewer shows, without the others.
- Arrays (.npy, .npz) are (H, W), (H, W, C) or (C, H, W): the shorter end is the channels'.
- uint8 stays; uint16 is scaled by its full range, 65535 to 255; truth values are 0 and 255;
  floating point in [0, 1] is scaled to 255; other numbers have no known range and are refused.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from autoseg.data.arrays import ARRAY_SUFFIXES, array_shape, map_array, read_array
from autoseg.data.images import (
    Picture,
    image_size,
    max_pixels,
    open_image,
    open_picture,
    read_image,
)
from autoseg.data.spectral import read_spectral, require_tifffile, spectral_header
from autoseg.data.tiff_regions import TiffRegions, open_tiff_regions
from autoseg.errors import FileError
from autoseg.foreign_text import printable

MAX_CHANNELS = 16
"""More than any usual camera has; the axis of an array that is no longer is its channels'."""

_GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def read_channels(path: Path, num_channels: int) -> NDArray[np.uint8]:
    """Read an image as a network of so many channels sees it, by the rules above.

    Args:
        path: A picture, a TIFF of many channels, or an array.
        num_channels: C; a picture serves for 1 and 3, the others for their own number.

    Returns:
        uint8, (C, H, W), a copy of its own.

    Raises:
        UsageError: If it is a TIFF of many channels, and tifffile is not installed.
        FileError: If the file cannot be read so, or has other channels.
        OSError: If it is not there or may not be read.
    """
    if path.suffix.lower() in ARRAY_SUFFIXES:
        return _read_array(path, num_channels)
    if num_channels not in (1, 3):
        if (header := spectral_header(path)) is not None:
            _check_numbers(path, header.num_channels, header.size, num_channels)
            return _in_bytes(path, read_spectral(path, header))
        raise FileError(
            f"{printable(str(path))} is a picture, and the other images have {num_channels} "
            "channels; save it as an array of as many, .npy, or as a TIFF."
        )
    return _picture_channels(read_image(path), num_channels)


_GIVEN = Path("the image")  # what messages call an image that no file holds


def image_channels(image: Image.Image | NDArray[Any], num_channels: int) -> NDArray[np.uint8]:
    """Take an image that is in memory as `read_channels` takes the same image in a file.

    Args:
        image: A picture, or an array (H, W), (H, W, C) or (C, H, W), whose colours are RGB.
        num_channels: C.

    Returns:
        uint8, (C, H, W), a copy of its own.

    Raises:
        FileError: If its shape, its channels or the range of its numbers do not fit.
    """
    if isinstance(image, np.ndarray):
        _check_shape(_GIVEN, image.shape, num_channels)
        axis = _channel_axis(_GIVEN, image.shape)
        channels = image[None] if axis is None else np.moveaxis(image, axis, 0)
        return _to_bytes(_GIVEN, channels)(channels)
    if num_channels not in (1, 3):
        raise FileError(
            f"{_GIVEN} is a picture, and the network reads {num_channels} channels; give an array "
            "of as many."
        )
    image.load()
    return _picture_channels(Picture(image, _GIVEN).rgb(), num_channels)


class ImageRegions:
    """An image of which parts are read, so that a large one is never there as a whole in floats.

    Memory holds what the file decodes to; of an array, .npy, and of a plain TIFF
    (`autoseg.data.tiff_regions`) only what is asked for.
    """

    def __init__(
        self,
        size: tuple[int, int],
        num_channels: int,
        read: Callable[[slice, slice], NDArray[np.uint8]],
    ) -> None:
        """Take what reads a part.

        Args:
            size: Height and width of the image.
            num_channels: C.
            read: Gives rows and columns, each with both ends, as uint8 (C, h, w), a copy.
        """
        self.size = size
        self.num_channels = num_channels
        self.read = read

    def whole(self) -> NDArray[np.uint8]:
        """Read all of it, uint8, (C, H, W)."""
        return self.read(slice(0, self.size[0]), slice(0, self.size[1]))


@contextmanager
def open_regions(path: Path, num_channels: int) -> Iterator[ImageRegions]:
    """Open an image to read parts of it; each is what `read_channels` gives there.

    Raises:
        UsageError: As `read_channels` does.
        FileError: As `read_channels` does.
        OSError: As `read_channels` does.
    """
    if path.suffix.lower() in ARRAY_SUFFIXES:
        array = map_array(path, check_shape=lambda shape: _check_shape(path, shape, num_channels))
        axis = _channel_axis(path, array.shape)
        channels = array[None] if axis is None else np.moveaxis(array, axis, 0)
        convert, size = _to_bytes(path, channels), (channels.shape[1], channels.shape[2])
        yield ImageRegions(
            size, num_channels, lambda rows, columns: convert(channels[:, rows, columns])
        )
        return
    with open_tiff_regions(path) as tiff:
        if tiff is not None and _serves(tiff.num_channels, num_channels):
            yield _tiff_part(path, tiff, num_channels)
            return
    if num_channels not in (1, 3):
        pixels = read_channels(path, num_channels)
        size = pixels.shape[1], pixels.shape[2]
        yield ImageRegions(
            size, num_channels, lambda rows, columns: pixels[:, rows, columns].copy()
        )
        return
    with open_picture(path) as picture:
        yield ImageRegions(
            picture.size,
            num_channels,
            lambda rows, columns: _picture_channels(picture.rgb(rows, columns), num_channels),
        )


def allows_regions(path: Path, num_channels: int) -> bool:
    """Tell whether `open_regions` reads no more of an image than what is asked for.

    Raises:
        FileError: If it is an array that cannot be read.
        OSError: If it is not there or may not be read.
    """
    if path.suffix.lower() == ".npy":
        array = map_array(path, check_shape=lambda shape: _check_shape(path, shape, num_channels))
        return array.dtype.kind in "ub"  # the range of others is looked up in all of them
    with open_tiff_regions(path) as tiff:
        return tiff is not None and _serves(tiff.num_channels, num_channels)


def _serves(found: int, num_channels: int) -> bool:
    """Tell whether a file of so many channels is read as the number that is asked for."""
    return found == num_channels or (found in (1, 3) and num_channels in (1, 3))


def _tiff_part(path: Path, tiff: TiffRegions, num_channels: int) -> ImageRegions:
    _check_numbers(path, num_channels, tiff.size, num_channels)
    convert = _to_bytes(path, np.empty((0,), tiff.dtype))

    def read(rows: slice, columns: slice) -> NDArray[np.uint8]:
        pixels = convert(tiff.read(rows, columns))
        if tiff.num_channels == num_channels:
            return pixels
        if num_channels == 3:
            return np.repeat(pixels, 3, axis=0)
        return _picture_channels(pixels.transpose(1, 2, 0), num_channels)

    return ImageRegions(tiff.size, num_channels, read)


def _picture_channels(pixels: NDArray[np.uint8], num_channels: int) -> NDArray[np.uint8]:
    """Turn RGB (H, W, 3) into (3, H, W), or into its grey (1, H, W)."""
    if num_channels == 3:
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))
    if (pixels == pixels[:, :, :1]).all():
        return np.ascontiguousarray(pixels[None, :, :, 0])
    grey = np.rint(pixels @ np.array(_LUMA, dtype=np.float64))
    return grey.astype(np.uint8)[None]


def size_and_channels(path: Path) -> tuple[tuple[int, int], int]:
    """Read height, width and number of channels from the header: 1 of a grey picture, else 3.

    Raises:
        UsageError: If it is a TIFF of many channels, and tifffile is not installed.
        FileError: If the file cannot be read.
        OSError: If it is not there or may not be read.
    """
    if path.suffix.lower() in ARRAY_SUFFIXES:
        shape = array_shape(path)
        axis = _channel_axis(path, shape)
        sides = [side for number, side in enumerate(shape) if number != axis]
        return (sides[0], sides[1]), 1 if axis is None else shape[axis]
    if (header := spectral_header(path)) is not None:
        require_tifffile(path)
        if header.num_channels > MAX_CHANNELS or 0 in header.size:
            raise FileError(
                f"{printable(str(path))} has {header.num_channels} channels of {header.size} "
                f"pixels; an image has at most {MAX_CHANNELS} channels."
            )
        return header.size, header.num_channels
    with open_image(path) as image:
        is_grey = image.mode in _GREY_MODES
    return image_size(path), 1 if is_grey else 3


def _read_array(path: Path, num_channels: int) -> NDArray[np.uint8]:
    array = read_array(path, check_shape=lambda shape: _check_shape(path, shape, num_channels))
    axis = _channel_axis(path, array.shape)
    return _in_bytes(path, array[None] if axis is None else np.moveaxis(array, axis, 0))


def _in_bytes(path: Path, array: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale an array's numbers to 8 bits, by the rules above."""
    return _to_bytes(path, array)(array)


def _to_bytes(path: Path, array: NDArray[Any]) -> Callable[[NDArray[Any]], NDArray[np.uint8]]:
    """Choose what scales the numbers of an array (C, H, W), or of a part, to 8 bits."""
    if array.dtype == np.uint8:
        return lambda part: np.array(part, dtype=np.uint8, order="C")
    if array.dtype == np.uint16:
        return lambda part: np.rint(part * (255 / 65535)).astype(np.uint8)
    if array.dtype == np.bool_:
        return lambda part: part.astype(np.uint8) * np.uint8(255)
    lowest, highest = float(array.min()), float(array.max())
    if array.dtype.kind != "f" or not (lowest >= 0 and highest <= 1):  # NaN included
        raise FileError(
            f"{printable(str(path))} holds {array.dtype} values from {lowest:g} to {highest:g}, "
            "whose black and white are unknown; scale them to [0, 1], or save uint8 or uint16."
        )
    return lambda part: np.rint(part.astype(np.float64) * 255).astype(np.uint8)


def _check_shape(path: Path, shape: tuple[int, ...], num_channels: int) -> None:
    axis = _channel_axis(path, shape)
    size = [side for number, side in enumerate(shape) if number != axis]
    _check_numbers(path, 1 if axis is None else shape[axis], size, num_channels)


def _check_numbers(path: Path, found: int, size: Sequence[int], num_channels: int) -> None:
    """Refuse an image of other channels, or of too many pixels, before memory is taken for it."""
    if found != num_channels:
        raise FileError(
            f"{printable(str(path))} has {found} channel(s) of {size[0]} x {size[1]} pixels; "
            f"{num_channels} are needed, as in the images that the others are."
        )
    if (num_pixels := size[0] * size[1]) > max_pixels():
        raise FileError(
            f"{printable(str(path))} has {num_pixels:,} pixels, more than the {max_pixels():,} "
            f"that are read without asking; AUTOSEG_MAX_PIXELS={num_pixels} allows it."
        )


def _channel_axis(path: Path, shape: tuple[int, ...]) -> int | None:
    if len(shape) == 2 and 0 not in shape:
        return None
    if len(shape) == 3 and 0 not in shape:
        # Channels last, as pictures are, where both ends are as short.
        axis = 2 if shape[2] <= shape[0] else 0
        if shape[axis] <= MAX_CHANNELS:
            return axis
    raise FileError(
        f"{printable(str(path))} has shape {shape}; an image is (H, W), (H, W, C) or (C, H, W) "
        f"with at most {MAX_CHANNELS} channels."
    )
