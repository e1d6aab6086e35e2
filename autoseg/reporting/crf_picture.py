"""Picture of what the CRF did to one image: before, after, and where they differ."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from autoseg.reporting.figure import new_figure
from autoseg.reporting.fonts import figure_text

_WIDTH = 5.0  # inches of a panel
_TITLES = 0.3  # inches above a row of panels
_FADE = 0.75  # share of white where nothing changed


def draw_refinement(
    image: NDArray[np.uint8],
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    *,
    is_changed: NDArray[np.bool_],
    title: str,
) -> Figure:
    """Draw an image, its labels before and after the CRF, and the difference.

    Args:
        image: RGB, uint8, (H, W, 3).
        before: Labels in colours, RGB, uint8, (H, W, 3).
        after: The labels after the CRF, in the same form.
        is_changed: (H, W); such pixels show their new colour in the difference, the others a faded
            image.
        title: Text above the drawing.
    """
    height, width = image.shape[:2]
    panel_height = _WIDTH * min(max(height / width, 0.2), 3.0)
    figure = new_figure(2 * _WIDTH, 2 * (panel_height + _TITLES) + 0.5)
    grey = image.mean(axis=2, keepdims=True).repeat(3, axis=2)
    faded = (255 * _FADE + grey * (1 - _FADE)).astype(np.uint8)
    difference = np.where(is_changed[:, :, None], after, faded)
    panels = {"image": image, "before": before, "after": after, "changed to": difference}
    for axes, (name, pixels) in zip(figure.subplots(2, 2).flat, panels.items(), strict=True):
        axes.imshow(pixels, interpolation="nearest")
        axes.set_title(figure_text(name), fontsize=10)
        axes.set_axis_off()
    figure.suptitle(figure_text(title), fontsize=9, wrap=True)
    return figure
