"""The one reader of label images: class numbers or colours, as stored, turned as shown."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from autoseg.data.images import load_whole, open_image
from autoseg.data.orientation import orientation, upright
from autoseg.errors import FileError, reading

_MODES = ("P", "L", "1", "I;16", "I;16B", "I;16L", "I;16N", "I")
_COLOUR_MODES = ("RGB", "RGBA", "LA")
_LOSSY = ("JPEG", "MPO")
_STEPS = {"L;2": 85, "L;4": 17}  # Pillow spreads grey of 2 and 4 bits over 0 to 255
_PALETTE_BITS = 24  # of a colour: no two of 2**24 numbers share one


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelFile:
    """Class numbers and how the file shows them."""

    labels: NDArray[np.int64]
    """(H, W)."""
    palette: NDArray[np.uint8] | None
    """Colours of the numbers, RGB, (256, 3); None for a grey file."""
    mode: str
    """Pillow's word for how the numbers are stored: P, L, 1, I;16, ..."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ColourFile:
    """A label image whose classes are colours."""

    colours: NDArray[np.uint8]
    """RGB, (H, W, 3)."""


def read_mask(path: Path) -> LabelFile | ColourFile:
    """Read a label image of either kind: numbers as `read_labels` does, or RGB colours.

    Raises:
        FileError: If the file is no image, damaged, too large, a JPEG, transparent somewhere, or
            neither of the two.
        OSError: If it is not there or may not be read.
    """
    with open_image(path) as image, reading(path, "a label image"):
        if image.mode not in _COLOUR_MODES or "transparency" in image.info:
            return read_labels(path)
        _refuse_lossy(image, path)
        load_whole(image, path)
        pixels = np.asarray(image.convert("RGBA"))
        if pixels[:, :, 3].min() < 255:
            row, column = np.argwhere(pixels[:, :, 3] < 255)[0]
            raise FileError(
                f"{path} is transparent at row {row}, column {column}; the class there is unknown: "
                "save labels without transparency."
            )
        colours = cast(NDArray[np.uint8], upright(pixels[:, :, :3], orientation(image)))
    return ColourFile(colours=colours)


def read_labels(path: Path) -> LabelFile:
    """Read a label image: one channel, palette or grey, whose values are class numbers.

    Values are those stored, also of a palette and of grey with less than 8 bits; a file with an
    EXIF orientation is turned, as its photograph is.

    Raises:
        FileError: If the file is no image, damaged, too large, a JPEG, or has several channels.
        OSError: If it is not there or may not be read.
    """
    with open_image(path) as image, reading(path, "a label image"):
        if image.mode not in _MODES:
            raise FileError(
                f"{path} has mode {image.mode}, that is colours or transparency; labels are "
                "class numbers in one channel: save them as a palette or grey PNG."
            )
        _refuse_lossy(image, path)
        mode = image.mode
        step = _step(image)
        load_whole(image, path)
        palette = image.getpalette("RGB") if mode == "P" else None
        stored = np.asarray(image).astype(np.int64)
        if step > 1:
            stored //= step
        labels = cast(NDArray[np.int64], upright(stored, orientation(image)))
    if palette is None:
        return LabelFile(labels=labels, palette=None, mode=mode)
    colours = np.zeros((256, 3), dtype=np.uint8)
    colours[: len(palette) // 3] = np.array(palette, dtype=np.uint8).reshape(-1, 3)
    return LabelFile(labels=labels, palette=colours, mode=mode)


def _refuse_lossy(image: Image.Image, path: Path) -> None:
    if image.format in _LOSSY:
        raise FileError(
            f"{path} is a JPEG, which changes class numbers at every border; save labels as "
            "PNG, from the original rather than from this file."
        )


def _step(image: ImageFile.ImageFile) -> int:
    """Return by what Pillow will multiply the numbers that an opened file stores."""
    if not image.tile:
        return 1
    coding = image.tile[0][3]  # a text, or a tuple that begins with it
    coding = coding if isinstance(coding, str) or not coding else coding[0]
    return _STEPS.get(str(coding), 1)


def label_image(
    labels: NDArray[np.integer], *, palette: NDArray[np.uint8] | None, mode: str
) -> Image.Image:
    """Make a label image that shows numbers as a file that was read does.

    Args:
        labels: Class numbers, (H, W), at least 0 and below 65536.
        palette: Colours of the numbers, RGB, (256, 3); None for a grey or black and white image.
        mode: Pillow's mode of the file that was read; a wider one is taken where the numbers do
            not fit it.
    """
    highest = int(labels.max())
    assert 0 <= int(labels.min()) <= highest < 2**16
    if mode == "1" and highest <= 1:
        return Image.fromarray(labels.astype(np.uint8) * 255).convert("1")
    if highest > 255 or mode.startswith("I"):
        return Image.fromarray(labels.astype(np.uint16, copy=False))
    image = Image.fromarray(labels.astype(np.uint8, copy=False))
    if palette is not None:
        image.putpalette(palette.tobytes())
    return image


def default_palette(num_colours: int = 256) -> NDArray[np.uint8]:
    """Return a colour for each number, RGB, (num_colours, 3): neighbours differ most.

    The bits of the number are dealt to red, green and blue in turn, highest bit of the colour
    first, as in the label images of PASCAL VOC.
    """
    numbers = np.arange(num_colours)
    palette = np.zeros((num_colours, 3), dtype=np.uint8)
    for bit in range(_PALETTE_BITS):
        channel, level = bit % 3, 7 - bit // 3
        palette[:, channel] |= (((numbers >> bit) & 1) << level).astype(np.uint8)
    return palette
