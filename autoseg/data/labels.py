"""The one reader of label images: class numbers, as stored, turned as shown."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from autoseg.data.images import open_image
from autoseg.errors import FileError, reading

_MODES = ("P", "L", "1", "I;16", "I;16B", "I;16L", "I;16N", "I")
_PALETTE_BITS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelFile:
    """Class numbers and how the file shows them."""

    labels: NDArray[np.int64]
    """(H, W)."""
    palette: NDArray[np.uint8] | None
    """Colours of the numbers, RGB, (256, 3); None for a grey file."""
    mode: str
    """Pillow's word for how the numbers are stored: P, L, 1, I;16, ..."""


def read_labels(path: Path) -> LabelFile:
    """Read a label image: one channel, palette or grey, whose values are class numbers.

    Values are those stored, also of a palette; a file with an EXIF orientation is turned, as its
    photograph is.

    Raises:
        FileError: If the file is no image, damaged, too large, or has several channels.
        OSError: If it is not there or may not be read.
    """
    with open_image(path) as image, reading(path, "a label image"):
        if image.mode not in _MODES:
            raise FileError(
                f"{path} has mode {image.mode}, that is colours or transparency; labels are "
                "class numbers in one channel: save them as a palette or grey PNG."
            )
        mode = image.mode
        palette = image.getpalette("RGB") if mode == "P" else None
        turned = ImageOps.exif_transpose(image)
        assert turned is not None  # None is for in_place=True
        labels = np.asarray(turned).astype(np.int64)
    if palette is None:
        return LabelFile(labels=labels, palette=None, mode=mode)
    colours = np.zeros((256, 3), dtype=np.uint8)
    colours[: len(palette) // 3] = np.array(palette, dtype=np.uint8).reshape(-1, 3)
    return LabelFile(labels=labels, palette=colours, mode=mode)


def label_image(
    labels: NDArray[np.int64], *, palette: NDArray[np.uint8] | None, mode: str
) -> Image.Image:
    """Make a label image that shows numbers as a file that was read does.

    Args:
        labels: Class numbers, (H, W), at least 0 and below 65536.
        palette: Colours of the numbers, RGB, (256, 3); None for a grey or black and white image.
        mode: Of the file that was read; one that the numbers do not fit gives way to a wider one.
    """
    highest = int(labels.max())
    assert 0 <= int(labels.min()) <= highest < 2**16
    if mode == "1" and highest <= 1:
        return Image.fromarray(labels.astype(np.uint8) * 255).convert("1")
    if highest > 255 or mode.startswith("I"):
        return Image.fromarray(labels.astype(np.uint16))
    image = Image.fromarray(labels.astype(np.uint8))
    if palette is not None:
        image.putpalette(palette.tobytes())
    return image


def default_palette() -> NDArray[np.uint8]:
    """Return a colour for each of 256 numbers, RGB, (256, 3): neighbours differ most.

    The bits of the number are dealt to red, green and blue in turn, highest bit of the colour
    first, as in the label images of PASCAL VOC.
    """
    numbers = np.arange(256)
    palette = np.zeros((256, 3), dtype=np.uint8)
    for bit in range(_PALETTE_BITS):
        channel, level = bit % 3, 7 - bit // 3
        palette[:, channel] |= (((numbers >> bit) & 1) << level).astype(np.uint8)
    return palette
