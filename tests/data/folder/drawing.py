"""Small folders of images and masks for the tests."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (10, 14)


def save(path: Path, pixels, palette=None) -> Path:
    """Write pixels as the picture or array that the ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, pixels)
        return path
    image = Image.fromarray(pixels)
    if palette is not None:
        image.putpalette(palette)
    image.save(path)
    return path


def grey(number: int, size=SIZE):
    """Draw an image that no other number has."""
    return np.random.default_rng(number).integers(256, size=size, dtype=np.uint8)


def colour(number: int, size=SIZE):
    """Draw a colour image that no other number has."""
    return grey(number, (*size, 3))


def mask(*values: int, size=SIZE, dtype=np.uint8):
    """Draw a mask of equal parts, top to bottom, of some numbers."""
    rows = np.array(values, dtype=dtype)[np.arange(size[0]) * len(values) // size[0]]
    return np.repeat(rows[:, None], size[1], axis=1)


def binary_folder(root: Path, num_images: int = 5) -> Path:
    """Write images/ of grey pictures and masks/ of 0 and 255."""
    for number in range(num_images):
        save(root / f"images/cell_{number}.png", grey(number))
        save(root / f"masks/cell_{number}.png", mask(0, 255))
    return root
