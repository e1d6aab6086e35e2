"""The names of classes under a picture of them."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from autoseg.foreign_text import printable

_PAPER, _INK, _EDGE = (255, 255, 255), (0, 0, 0), (128, 128, 128)
_SMALLEST, _LARGEST = 10, 28  # pixels of the font


def with_legend(
    picture: NDArray[np.uint8],
    class_names: Sequence[str],
    palette: NDArray[np.uint8],
    *,
    shown: Sequence[int],
) -> NDArray[np.uint8]:
    """Put a legend under a picture: a patch of each class's colour and its name.

    Args:
        picture: RGB, uint8, (H, W, 3).
        class_names: One name a class.
        palette: Colour of each class, RGB, uint8, (K, 3).
        shown: Classes to name, in this order; those that the picture shows.

    Returns:
        RGB, uint8, (H + h, W, 3); the first H rows are the picture. Names that do not fit the width
        are cut.
    """
    width = picture.shape[1]
    size = min(max(width // 36, _SMALLEST), _LARGEST)
    font, gap = _font(size), size // 2
    names = [_cut(printable(class_names[number]), font, width - size - 3 * gap) for number in shown]
    places, x, y = [], gap, gap
    for name in names:
        length = size + gap + int(font.getlength(name)) + gap
        if x > gap and x + length > width:
            x, y = gap, y + size + gap
        places.append((x, y))
        x += length + gap
    strip = Image.new("RGB", (width, y + size + gap), _PAPER)
    draw = ImageDraw.Draw(strip)
    for number, name, (left, top) in zip(shown, names, places, strict=True):
        red, green, blue = palette[number].tolist()
        patch = (left, top, left + size - 1, top + size - 1)
        draw.rectangle(patch, fill=(red, green, blue), outline=_EDGE)
        draw.text((left + size + gap, top + size // 2), name, fill=_INK, font=font, anchor="lm")
    return np.concatenate([picture, np.asarray(strip)])


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib  # late: most commands draw nothing

    # Matplotlib's own: it has more letters than Pillow's, and is there wherever autoseg is.
    path = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)


def _cut(name: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    if font.getlength(name) <= width:
        return name
    while name and font.getlength(name + "…") > width:
        name = name[:-1]
    return name + "…"
