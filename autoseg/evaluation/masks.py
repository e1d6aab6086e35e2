"""Pictures of a prediction: one colour a class, alone or over the photograph."""

import numpy as np
from numpy.typing import NDArray

from autoseg.data.channels import ImageRegions


def colour_mask(pred: NDArray[np.integer], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Paint each pixel in the colour of its class.

    Args:
        pred: Predicted class of each pixel, integer, (H, W), in [0, K).
        palette: Colour of each class, RGB, uint8, (K, 3).

    Returns:
        RGB, uint8, (H, W, 3).

    Raises:
        ValueError: If a class has no colour.
    """
    if pred.size and not 0 <= pred.min() <= pred.max() < len(palette):
        raise ValueError(
            f"colour_mask: classes span {pred.min()} to {pred.max()}, but the palette has colours "
            f"for 0 to {len(palette) - 1}; give the palette of the dataset the network was "
            "trained on."
        )
    return palette[pred]


def overlay(image: NDArray[np.uint8], mask: NDArray[np.uint8], opacity: float) -> NDArray[np.uint8]:
    """Lay a colour mask over the photograph.

    Args:
        image: RGB, uint8, (H, W, 3).
        mask: RGB, uint8, (H, W, 3), from `colour_mask`.
        opacity: Share of the mask in the result, in [0, 1]: 0 shows the image, 1 the mask.

    Returns:
        (1 - opacity) * image + opacity * mask, rounded to the nearest, uint8, (H, W, 3).

    Raises:
        ValueError: If the sizes differ or the opacity is out of range.
    """
    if image.shape != mask.shape:
        raise ValueError(
            f"overlay: the image is {image.shape} and the mask {mask.shape}; both must be "
            "(H, W, 3) of one size."
        )
    if not 0 <= opacity <= 1:
        raise ValueError(f"overlay: opacity {opacity} is outside [0, 1].")
    # Out of uint8 before any arithmetic, which would wrap around.
    mixed = (1 - opacity) * image.astype(np.float64) + opacity * mask.astype(np.float64)
    return np.rint(mixed).astype(np.uint8)


def reduced_image(image: ImageRegions, factor: int) -> NDArray[np.uint8]:
    """Average an image over squares, a strip at a time.

    Args:
        image: The image.
        factor: Side of a square; at the end of rows and columns, what fills no square is left out.

    Returns:
        uint8, (C, H // factor, W // factor).
    """
    height, width = (side // factor for side in image.size)
    reduced = np.empty((image.num_channels, height, width), dtype=np.uint8)
    for row in range(height):
        strip = image.read(slice(row * factor, (row + 1) * factor), slice(0, width * factor))
        squares = strip.reshape(-1, factor, width, factor)
        reduced[:, row] = np.rint(squares.mean(axis=(1, 3)))
    return reduced


def reduced_classes(pred: NDArray[np.integer], factor: int) -> NDArray[np.integer]:
    """Take the class in the middle of each square that `reduced_image` averages."""
    height, width = (side // factor for side in pred.shape)
    middle = factor // 2
    return pred[middle::factor, middle::factor][:height, :width]
