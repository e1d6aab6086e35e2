"""The texts of a figure as they are drawn, for tests of whether a person can read them."""

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from autoseg.reporting.fonts import choose_fonts


def drawn_texts(figure):
    """List each text that is drawn and the box that it fills, in pixels."""
    choose_fonts(figure)
    figure.draw_without_rendering()  # settles the layout
    renderer = FigureCanvasAgg(figure).get_renderer()
    beyond = set()  # labels of ticks outside the limits, which are not drawn
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low <= tick.get_loc() <= high:
                beyond |= {tick.label1, tick.label2}
    return [
        (text.get_text(), text.get_window_extent(renderer))
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text() and text not in beyond
    ]


def require_readable(figure):
    """Refuse texts that the canvas cuts off and texts that cover each other; return all."""
    found = drawn_texts(figure)
    canvas = figure.bbox
    for text, box in found:
        inside = (
            box.x0 >= canvas.x0,
            box.y0 >= canvas.y0,
            box.x1 <= canvas.x1,
            box.y1 <= canvas.y1,
        )
        assert all(inside), f"{text!r} is cut off: {box} of {canvas}"
    covering = [(a[0], b[0]) for a, b in combinations(found, 2) if a[1].overlaps(b[1])]
    assert not covering
    return [text for text, _ in found]
