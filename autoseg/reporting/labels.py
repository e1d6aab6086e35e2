"""Names beside points, placed so that they do not cover each other."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation
from numpy.typing import NDArray

from autoseg.reporting.fonts import choose_fonts

Boxes = NDArray[np.float64]

_MARKER_RADIUS, _LINE_RADIUS = 6.0, 2.0  # pixels that are to be left free, at the figure's dpi
_NEAR, _STEP, _NUM_RINGS, _NUM_DIRECTIONS = 8.0, 8.0, 12, 24  # where a name is tried
_LEADER_FROM = 12.0  # pixels; a name farther away gets a line to its point
_NAME_OVER_LINE = 40.0  # covering a name or marker is worse than covering a line, by this factor
_PER_PIXEL = 1.5  # square pixels of a covered line that one pixel more of distance is worth


def place_labels(axes: Axes, labels: Sequence[Annotation]) -> None:
    """Move each label next to its point, to the nearest place that is free.

    Free means inside the axes, and covering no label placed before, no marker and, if it can be
    had nearby, no line. The figure's size and the axes' limits must be final.

    Args:
        axes: The axes that hold everything.
        labels: Annotations in data coordinates whose text is offset in points; moved.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    choose_fonts(figure)  # which decide how wide the labels are
    figure.draw_without_rendering()  # settles the layout, which the offsets depend on
    renderer = FigureCanvasAgg(figure).get_renderer()
    frame = np.array(axes.get_window_extent(renderer).extents)
    markers, lines = _obstacles(axes)
    points_per_pixel = 72 / figure.dpi
    for label in labels:
        point = axes.transData.transform(label.xy)
        extent = label.get_window_extent(renderer)
        box, distance = _best_box(point, (extent.width, extent.height), frame, markers, lines)
        markers = np.vstack([markers, box])
        label.set_horizontalalignment("left")
        label.set_verticalalignment("bottom")
        label.set_position(tuple((box[:2] - point) * points_per_pixel))
        if distance > _LEADER_FROM:
            end = point.clip(box[:2], box[2:])
            lines = np.vstack([lines, _along(np.array([point, end]))])
            axes.annotate(
                "", label.xy, tuple(axes.transData.inverted().transform(end)),
                arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": "#777777"},
            ).set_in_layout(False)  # fmt: skip


# Boxes are rows (x0, y0, x1, y1) in pixels.


def _obstacles(axes: Axes) -> tuple[Boxes, Boxes]:
    """List what markers and lines of the axes cover."""
    markers, lines = [np.empty((0, 4))], [np.empty((0, 4))]
    for line in axes.get_lines():
        corners = axes.transData.transform(np.asarray(line.get_xydata()))
        if line.get_marker() not in ("None", None, ""):
            markers.append(_around(corners, _MARKER_RADIUS))
        if line.get_linestyle() not in ("None", ""):
            lines.append(_along(corners))
    return np.vstack(markers), np.vstack(lines)


def _along(corners: Boxes) -> Boxes:
    """Cover a chain of straight lines, (num_corners, 2), by small boxes."""
    boxes = [np.empty((0, 4))]
    for start, end in pairwise(corners):
        num_boxes = 2 + int(math.dist(start, end) / (2 * _LINE_RADIUS))
        boxes.append(_around(np.linspace(start, end, num_boxes), _LINE_RADIUS))
    return np.vstack(boxes)


def _around(points: Boxes, radius: float) -> Boxes:
    """Make a square around each point, (num_points, 2)."""
    return np.hstack([points - radius, points + radius])


def _best_box(
    point: Boxes, size: tuple[float, float], frame: Boxes, markers: Boxes, lines: Boxes
) -> tuple[Boxes, float]:
    """Weigh nearness against what would be covered; return the place and its distance."""
    distances = np.repeat(_NEAR + _STEP * np.arange(_NUM_RINGS), _NUM_DIRECTIONS)
    angles = np.tile(2 * np.pi * np.arange(_NUM_DIRECTIONS) / _NUM_DIRECTIONS, _NUM_RINGS)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    half = np.array(size) / 2
    centres = point + directions * (distances[:, None] + half)
    boxes = np.hstack([centres - half, centres + half])
    outside = size[0] * size[1] - _overlaps(boxes, frame[None])
    cost = _NAME_OVER_LINE * (_overlaps(boxes, markers) + outside)
    cost += _overlaps(boxes, lines) + _PER_PIXEL * distances
    best = int(cost.argmin())
    return boxes[best], float(distances[best])


def _overlaps(boxes: Boxes, others: Boxes) -> Boxes:
    """Add up the areas that each box shares with the others, in square pixels."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return (high - low).clip(min=0).prod(axis=-1).sum(axis=1)
