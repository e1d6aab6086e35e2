"""Picture of what a CRF mends and breaks: labels before and after, and which changes are right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from autoseg.reporting.figure import new_figure
from autoseg.reporting.fonts import figure_text

_WIDTH = 3.4  # inches of a panel
_HEADINGS = 0.3  # inches above a row of panels
_LEGEND_COLUMNS, _LEGEND_LINE = 8, 0.25  # a line takes so many inches
EFFECTS = {
    "mended": (27, 120, 55),
    "broken": (178, 24, 43),
    "wrong before and after": (244, 200, 120),
}
"""What a change does to a pixel, and its colour, RGB."""
_UNCHANGED, _IGNORED = (235, 235, 235), (255, 255, 255)


@dataclass(frozen=True, kw_only=True, slots=True)
class Refined:
    """One image's classes before and after the CRF, and the truth."""

    name: str
    """What the image is called."""
    before: NDArray[np.int64]
    """(H, W)."""
    after: NDArray[np.int64]
    """(H, W)."""
    target: NDArray[np.int64]
    """(H, W), with the ignored label where nothing is known."""


def effect_of(refined: Refined, *, ignore_index: int) -> NDArray[np.uint8]:
    """Colour each pixel by what the CRF did to it, RGB, (H, W, 3)."""
    before, after, target = refined.before, refined.after, refined.target
    effect = np.full((*target.shape, 3), _UNCHANGED, dtype=np.uint8)
    is_changed = before != after
    effect[is_changed & (after == target)] = EFFECTS["mended"]
    effect[is_changed & (before == target)] = EFFECTS["broken"]
    effect[is_changed & (before != target) & (after != target)] = EFFECTS["wrong before and after"]
    effect[target == ignore_index] = _IGNORED
    return effect


def draw_effect(
    images: Sequence[Refined],
    *,
    palette: NDArray[np.uint8],
    class_names: Sequence[str],
    ignore_index: int,
    title: str,
) -> Figure:
    """Draw a row of three panels for each image: before, after, and which changes are right.

    Args:
        images: At least one.
        palette: Colour of each class, RGB, uint8, (K, 3).
        class_names: Name of each class; the legend has those that occur before or after.
        ignore_index: Label of pixels that do not count; they are white.
        title: Text above the drawing.
    """
    height, width = images[0].target.shape
    panel_height = _WIDTH * height / width + _HEADINGS
    shown = sorted({int(k) for each in images for k in np.union1d(each.before, each.after)})
    colours = [(class_names[k], palette[k]) for k in shown]
    colours += [*EFFECTS.items(), ("unchanged", _UNCHANGED), ("not labelled", _IGNORED)]
    num_lines = -(-len(colours) // _LEGEND_COLUMNS)
    figure = new_figure(3 * _WIDTH, len(images) * panel_height + 0.7 + _LEGEND_LINE * num_lines)
    grid = figure.subplots(len(images), 3, squeeze=False)
    for row, refined in zip(grid, images, strict=True):
        panels = {
            f"{refined.name}: network": palette[refined.before],
            "with CRF": palette[refined.after],
            "changed pixels": effect_of(refined, ignore_index=ignore_index),
        }
        for axes, (heading, pixels) in zip(row, panels.items(), strict=True):
            axes.imshow(pixels, interpolation="nearest")
            axes.set_title(figure_text(heading), fontsize=8)
            axes.set_axis_off()
    patches = [
        Patch(
            facecolor=tuple(np.array(colour) / 255), edgecolor="grey", linewidth=0.5,
            label=figure_text(name),
        )
        for name, colour in colours
    ]  # fmt: skip
    figure.legend(
        handles=patches, loc="outside lower center", ncols=_LEGEND_COLUMNS, frameon=False,
        fontsize=8,
    )  # fmt: skip
    figure.suptitle(figure_text(title), fontsize=9, wrap=True)
    return figure
