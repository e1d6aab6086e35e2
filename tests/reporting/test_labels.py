"""Names keep clear of lines where they can, and get a line to their point where they cannot."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from autoseg.reporting.figure import new_figure
from autoseg.reporting.labels import place_labels


def labelled(points):
    figure = new_figure(5, 4)
    axes = figure.add_subplot()
    axes.set_xlim(0, 10)
    axes.set_ylim(0, 10)
    labels = []
    for i, (x, y) in enumerate(points):
        axes.plot([x], [y], marker="o", linestyle="none")
        labels.append(axes.annotate(f"name {i}", (x, y), (0, 0), textcoords="offset points"))
    return figure, axes, labels


def extents(figure, labels):
    renderer = FigureCanvasAgg(figure).get_renderer()
    return [label.get_window_extent(renderer) for label in labels]


def test_a_lone_name_lies_beside_its_point():
    figure, axes, labels = labelled([(5, 5)])
    place_labels(axes, labels)
    (box,) = extents(figure, labels)
    x, y = axes.transData.transform((5, 5))
    gap = np.hypot(max(box.x0 - x, x - box.x1, 0), max(box.y0 - y, y - box.y1, 0))
    # The nearest ring starts at 8 pixels; at an angle the corner is a little farther away.
    assert 0 < gap < 15
    assert len(axes.texts) == 1  # no line to the point is needed


@pytest.mark.parametrize("corner", [(0.1, 0.1), (0.1, 9.9), (9.9, 0.1), (9.9, 9.9)])
def test_a_name_stays_inside_the_axes(corner):
    figure, axes, labels = labelled([corner])
    place_labels(axes, labels)
    (box,) = extents(figure, labels)
    frame = axes.get_window_extent()
    assert frame.x0 <= box.x0 and box.x1 <= frame.x1
    assert frame.y0 <= box.y0 and box.y1 <= frame.y1


def test_a_name_avoids_a_line():
    figure, axes, labels = labelled([(5, 5)])
    axes.plot([5, 5, 9], [9, 5, 5])  # up, and to the right
    place_labels(axes, labels)
    (box,) = extents(figure, labels)
    for start, end in (((5, 9), (5, 5)), ((5, 5), (9, 5))):
        for x, y in axes.transData.transform(np.linspace(start, end, 200)):
            assert not box.contains(x, y)


def test_crowded_names_get_lines_to_their_points():
    _, axes, labels = labelled([(5, 5)] * 12)
    place_labels(axes, labels)
    leaders = [text for text in axes.texts if not text.get_text()]
    assert leaders
    assert {leader.xy for leader in leaders} == {(5, 5)}
