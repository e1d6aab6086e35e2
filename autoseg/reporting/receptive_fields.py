"""What a pixel of the output sees: effective fields beside each other, in their theoretical box."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from autoseg.reporting.figure import VERMILLION, hide_spines, new_figure
from autoseg.reporting.fonts import figure_text

FIELD_GID = "field"
"""Name of the artists that hold the fields, each followed by "-" and the number."""

_NUM_COLUMNS = 2  # a phone shows no more of them in a size that can be read
_MAX_SIDE = 160  # cells of a panel's longer side; more would make a page heavy, and show no more
_FAINTEST = 1e-3  # share of the maximum


class FieldPanel(NamedTuple):
    """One network's fields."""

    name: str
    """Name of the network."""
    effective: NDArray[np.floating]
    """Mean absolute gradient of each pixel of the image, (H, W)."""
    box: tuple[int, int, int, int]
    """Top, left, bottom and right of the theoretical field in that image."""
    text: str
    """Sizes of both in words."""


def draw_receptive_fields(panels: Sequence[FieldPanel]) -> Figure:
    """Draw for each network how strongly each pixel moves the central one, as a share of the most.

    Returns:
        The figure: a panel a network on one logarithmic scale, with the theoretical field as a box.
        A cell is the strongest of the pixels in it.
    """
    num_columns = min(len(panels), _NUM_COLUMNS)
    num_rows = -(-len(panels) // num_columns)
    height, width = panels[0].effective.shape
    panel_height = 2.7 * height / width
    figure = new_figure(max(2.8 * num_columns, 4.5), (panel_height + 0.7) * num_rows + 0.7)
    grid = figure.subplots(num_rows, num_columns, squeeze=False)
    image = None
    for number, axes in enumerate(grid.flat):
        axes.set_xticks([])
        axes.set_yticks([])
        hide_spines(axes)  # they would hide a box that is as large as the image
        if number >= len(panels):
            continue
        panel = panels[number]
        height, width = panel.effective.shape
        side = -(-max(height, width) // _MAX_SIDE)
        cells = _largest_of_cells(panel.effective, side)
        end = side * cells.shape[1], side * cells.shape[0]  # the last cells may be cut
        share = cells / (cells.max() or 1)
        image = axes.imshow(
            np.log10(np.maximum(share, _FAINTEST)),
            cmap="Blues", vmin=np.log10(_FAINTEST), vmax=0,
            interpolation="nearest", extent=(0, end[0], end[1], 0), gid=f"{FIELD_GID}-{number}",
        )  # fmt: skip
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        top, left, bottom, right = panel.box
        frame = Rectangle(
            (left, top), right - left, bottom - top,
            fill=False, edgecolor=VERMILLION, linewidth=1.5, clip_on=False,
        )  # fmt: skip
        axes.add_patch(frame)
        axes.set_title(figure_text(panel.name), fontsize=9)
        axes.set_xlabel(figure_text(panel.text), fontsize=8)
    assert image is not None  # of the last panel; all have one scale
    bar = figure.colorbar(image, ax=grid, location="bottom", shrink=0.8, aspect=40)
    bar.set_label("gradient at the pixel, share of the largest; box: theoretical field", fontsize=8)
    bar.set_ticks([-3, -2, -1, 0], labels=["0.001 or less", "0.01", "0.1", "1"])
    bar.ax.tick_params(labelsize=8)
    return figure


def _largest_of_cells(values: NDArray[np.floating], side: int) -> NDArray[np.floating]:
    """Return the maximum of each cell of side x side pixels; cells at the end may be cut."""
    height, width = values.shape
    padded = np.pad(values, ((0, -height % side), (0, -width % side)))
    rows, columns = padded.shape[0] // side, padded.shape[1] // side
    return padded.reshape(rows, side, columns, side).max(axis=(1, 3))
