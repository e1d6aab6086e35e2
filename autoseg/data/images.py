"""The one reader of images: what a viewer would show, as 8-bit RGB.

Rules, for every format alike:

- A photograph is turned as its EXIF orientation says, where that is one of EXIF's eight.
- Grey becomes three equal channels; palette, CMYK and YCbCr become RGB.
- Transparency is composed over white, as browsers show it.
- 16 bits a channel are scaled by their full range, 65535 to 255, and a TIFF of 12 bits by its own;
  12 bits kept in 16 are dark here, as in a viewer. White is 0 where a TIFF says so.
- Floating point in [0, 1] is scaled to 255; other floating point, signed and 32-bit integers have
  no range that one could know, and are refused.
- A file of several pages or frames is refused, since nobody could say which is meant; a telephone's
  JPEG with a second picture in it (MPO) is its first.
"""

import os
import stat
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from autoseg.data.jpeg_end import ends_early, lacks_scans
from autoseg.data.orientation import SIDEWAYS, orientation, shown_size, stored_part, upright
from autoseg.data.tiff_layout import require_possible_layout
from autoseg.errors import FileError, UsageError, reading

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""Files that count as images in a folder."""

MAX_PIXELS = 2**28
"""Pixels of an image that is read without asking, 0.8 GB as RGB; AUTOSEG_MAX_PIXELS sets others."""

_MAX_PIXELS = "AUTOSEG_MAX_PIXELS"
# Not among them: EPS and others that Pillow hands to a program.
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "DIB", "WEBP", "GIF", "PPM", "JPEG2000", "TGA")
_JPEGS = ("JPEG", "MPO")
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N")
_READABLE = "PNG, JPEG, TIFF, BMP, WebP, GIF, PPM, JPEG 2000 and TGA are read"
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # a TIFF's tags
_MARK = 251  # rare as a class, and not 0, which Pillow fills memory with


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image as a viewer shows it, by the rules above.

    Args:
        path: A file of any format that Pillow decodes by itself.

    Returns:
        RGB, uint8, (H, W, 3), a copy of its own.

    Raises:
        FileError: If the file is no image, damaged, too large, or its numbers have no known range.
        OSError: If it is not there or may not be read.
    """
    with open_picture(path) as picture:
        return picture.rgb()


class Picture:
    """A decoded picture, of which the whole or a part can be had as RGB."""

    def __init__(self, image: Image.Image, path: Path) -> None:
        """Choose how its pixels become the colours that a viewer shows.

        Args:
            image: A loaded image.
            path: Its file, for messages.

        Raises:
            FileError: If its numbers have no known range.
        """
        self._image = image
        self._to_rgb = _colours(image, path)
        self._orientation = orientation(image)
        turned = self._orientation in SIDEWAYS
        self.size = (image.width, image.height) if turned else (image.height, image.width)
        """Height and width as shown."""

    def rgb(self, rows: slice | None = None, columns: slice | None = None) -> NDArray[np.uint8]:
        """Return rows and columns as shown, with both ends, or all: (H, W, 3), a copy."""
        image = self._image
        if rows is not None or columns is not None:
            rows = rows or slice(0, self.size[0])
            columns = columns or slice(0, self.size[1])
            rows, columns = stored_part(rows, columns, self.size, self._orientation)
            image = image.crop((columns.start, rows.start, columns.stop, rows.stop))
        return cast(NDArray[np.uint8], upright(self._to_rgb(image), self._orientation))


@contextmanager
def open_picture(path: Path) -> Iterator[Picture]:
    """Decode an image, to take parts of it; memory holds it as Pillow does, RGB in 4 bytes.

    Raises:
        FileError: As `read_image` does.
        OSError: As `read_image` does.
    """
    with open_image(path) as image:
        load_whole(image, path)
        with reading(path, "an image"):
            picture = Picture(image, path)
        yield picture


def image_size(path: Path) -> tuple[int, int]:
    """Read an image's height and width as shown, from its header alone.

    Raises:
        FileError: If the file is no image or too large.
        OSError: If it is not there or may not be read.
    """
    with open_image(path) as image, reading(path, "an image"):
        return shown_size(image, path)


@contextmanager
def open_image(path: Path) -> Iterator[ImageFile.ImageFile]:
    """Open an image and check its header, before any memory is taken for its pixels.

    Raises:
        FileError: If the file is no image, has more pixels than allowed, a TIFF not all of them, or
            several pages.
        OSError: If it is not there, may not be read or is no regular file.
    """
    require_regular_file(path)
    with warnings.catch_warnings():
        # Pillow's advice on colour conversion and its limit on pixels; ours stands below.
        warnings.simplefilter("ignore")
        with reading(path, "an image that can be read"), _without_pillows_limit():
            Image.init()
            try:
                image = Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN])
            except UnidentifiedImageError:
                raise FileError(f"{path} is not an image that can be read: {_READABLE}.") from None
        with image:
            _require_one_picture(path, image)
            if image.format == "TIFF":
                require_possible_layout(path)
            yield image


def load_whole(image: ImageFile.ImageFile, path: Path) -> None:
    """Decode an opened image, and refuse a PNG or JPEG whose data ends, in good order, too early.

    Pillow leaves the rows that a PNG lacks as the memory was: 0, that is black, or a class. Rows
    that hold what the memory was filled with, once this and once that, were never written.

    Raises:
        FileError: If the file is damaged.
    """
    with reading(path, "an image"):
        if image.format != "PNG" or not image.tile:  # none: it has no data, or was decoded
            image.load()
            is_jpeg = image.format in _JPEGS
            is_coarse = is_jpeg and lacks_scans(path)
            is_cut = is_jpeg and not is_coarse and ends_early(image, path)
        else:
            is_coarse, is_cut = False, _lacks_rows(image, path)
    if is_coarse:
        raise FileError(
            f"{path} is damaged: its data ends before its pixels are sharp, since scans of it are "
            "missing; copy it again, or save it anew."
        )
    if is_cut:
        raise FileError(
            f"{path} is damaged: its data ends before its {image.height} rows of pixels do; copy "
            "it again, or save it anew."
        )


def require_regular_file(path: Path) -> None:
    """Refuse what would be waited for, or never ends: pipes, sockets, devices.

    Raises:
        FileError: If the path is no regular file.
        OSError: If it is not there or may not be looked at.
    """
    with reading(path, "a file"):
        mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise FileError(f"{path} is a folder; name a file in it.")
    if not stat.S_ISREG(mode):
        raise FileError(f"{path} is no regular file but a pipe, socket or device; copy it first.")


def max_pixels() -> int:
    """Return the largest number of pixels that an image may have.

    Raises:
        UsageError: If the environment's AUTOSEG_MAX_PIXELS is no whole number above 0.
    """
    text = os.environ.get(_MAX_PIXELS)
    if text is None:
        return MAX_PIXELS
    if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) == 0:
        raise UsageError(f"{_MAX_PIXELS}={text!r} must be a whole number above 0.")
    return int(text)


def find_images(
    paths: Sequence[Path], *, endings: Sequence[str] = IMAGE_SUFFIXES
) -> tuple[list[Path], list[Path]]:
    """List image files: the files named, and those in the folders named, sorted.

    Args:
        paths: Files and folders. Hidden files in a folder are passed over.
        endings: Files that count as images in a folder.

    Returns:
        The images, each once, also those that turn out to be broken; and the other files of the
        folders, which are left out.

    Raises:
        UsageError: If a path does not exist, or a folder holds no image.
    """
    found: list[Path] = []
    left_out: list[Path] = []
    for path in paths:
        if path.is_dir():
            entries = [each for each in sorted(path.iterdir()) if each.name[0] != "."]
            files = [each for each in entries if not each.is_dir()]
            inside = [each for each in files if each.suffix.lower() in endings]
            if not inside:
                below = "; folders in it are not searched" if len(files) < len(entries) else ""
                raise UsageError(f"{path} holds no image ({', '.join(endings)}){below}.")
            found += inside
            left_out += [each for each in files if each not in set(inside)]
        elif path.exists():
            found.append(path)
        else:
            raise UsageError(f"{path} does not exist.")
    return list({each.absolute(): each for each in found}.values()), left_out


def _lacks_rows(image: ImageFile.ImageFile, path: Path) -> bool:
    marked = _load_over(image, _MARK)
    if not any(marked):
        return False
    with open_image(path) as again:
        return any(a and b for a, b in zip(marked, _load_over(again, 0), strict=True))


def _load_over(image: ImageFile.ImageFile, mark: int) -> list[bool]:
    """Decode a PNG into memory filled with a mark; tell which of its last two rows are still that.

    One of them is written last: the last odd row where the file is interlaced, or the last row.
    """
    width, height = image.size
    image.im = Image.new(image.mode, image.size, mark).im
    image.load()
    unwritten = Image.new(image.mode, (width, 1), mark).tobytes()
    rows = (image.crop((0, y, width, y + 1)) for y in range(max(height - 2, 0), height))
    return [row.tobytes() == unwritten for row in rows]


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _require_one_picture(path: Path, image: Image.Image) -> None:
    num_pixels, limit = image.width * image.height, max_pixels()
    if num_pixels > limit:
        raise FileError(
            f"{path} has {image.height} x {image.width} pixels, more than the {limit:,} that are "
            f"read without asking; {_MAX_PIXELS}={num_pixels} allows it."
        )
    with reading(path, "an image that can be read"):
        has_more = image.format != "MPO" and getattr(image, "is_animated", False)
    if has_more:
        raise FileError(
            f"{path} holds several pages or frames; save the one that is meant as a file of its "
            "own."
        )


def _colours(image: Image.Image, path: Path) -> Callable[[Image.Image], NDArray[np.uint8]]:
    """Choose what gives the pixels of a loaded image, or of a part of it, a viewer's colours."""
    if image.mode in _DEEP or (image.mode == "I" and image.format in ("PNG", "PPM")):
        table = _deep_grey(image)
        return lambda part: _as_rgb(table[np.asarray(part)])
    if image.mode == "F":
        _require_fractions(image, path)
        is_negative = _tags(image).get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        return lambda part: _fractions(part, is_negative=is_negative)
    if image.mode == "I":
        raise FileError(
            f"{path} holds signed or 32-bit integers, whose black and white are unknown; save 8 or "
            "16 bits without a sign."
        )
    return _over_white if image.has_transparency_data else _opaque


def _opaque(image: Image.Image) -> NDArray[np.uint8]:
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _over_white(image: Image.Image) -> NDArray[np.uint8]:
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return _opaque(Image.alpha_composite(white, image.convert("RGBA")))


def _tags(image: Image.Image) -> Mapping[int, Any]:
    return getattr(image, "tag_v2", {})


def _deep_grey(image: Image.Image) -> NDArray[np.uint8]:
    """Return the grey of every number of 16 bits."""
    white = 2 ** _tags(image).get(_BITS_PER_SAMPLE, (16,))[0] - 1
    table = np.rint(np.arange(2**16) * (255 / white)).clip(0, 255).astype(np.uint8)
    if _tags(image).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        table = 255 - table
    if isinstance(transparent := image.info.get("transparency"), int):
        table[transparent] = 255
    return table


def _require_fractions(image: Image.Image, path: Path) -> None:
    values = np.asarray(image)
    lowest, highest = float(values.min()), float(values.max())
    if not (lowest >= 0 and highest <= 1):  # NaN included
        raise FileError(
            f"{path} holds floating point values from {lowest:g} to {highest:g}, whose black and "
            "white are unknown; scale them to [0, 1], or save 8 or 16 bits."
        )


def _fractions(image: Image.Image, *, is_negative: bool) -> NDArray[np.uint8]:
    grey = np.rint(np.asarray(image).astype(np.float64) * 255).astype(np.uint8)
    return _as_rgb(255 - grey if is_negative else grey)


def _as_rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[:, :, None], 3, axis=2)
