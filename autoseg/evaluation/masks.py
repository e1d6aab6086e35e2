"""Pictures of a prediction: one colour a class, alone or over the photograph."""

import numpy as np
from numpy.typing import NDArray


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
