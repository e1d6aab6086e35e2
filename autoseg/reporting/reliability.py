"""How right predictions are where they are so sure: a curve a network beside the diagonal."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from autoseg.reporting.figure import GREY, hide_spines, new_figure
from autoseg.reporting.fonts import figure_text
from autoseg.reporting.network_colours import line_dashes, network_colour

RELIABILITY_GID = "reliability"
"""Name of the artists that hold the curves, each followed by "-" and the number."""

_FEWEST = 1e-3  # share of a curve's pixels; accuracy of fewer jumps about and says nothing


def draw_reliability(curves: Mapping[str, Sequence[tuple[int, float, float]]]) -> Figure:
    """Draw accuracy by confidence.

    Args:
        curves: For each name the bins: number of pixels, mean confidence and accuracy, fractions; a
            bin with less than a thousandth of the pixels is passed over. Names of one colour have
            different dashes.

    Returns:
        The figure, below it the share of the pixels in each bin. Below the diagonal a network is
        surer than right.

    Source: Niculescu-Mizil and Caruana 2005, "Predicting Good Probabilities With Supervised
    Learning", for the diagram; Guo et al. 2017, "On Calibration of Modern Neural Networks", for the
    shares beside it.
    """
    figure = new_figure(5.6, 5.6 + 0.2 * len(curves))
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot(
        [0, 100], [0, 100], color=GREY, linewidth=1, linestyle=(0, (5, 2)), label="calibrated"
    )
    drawn: dict[str, int] = {}
    for number, (name, bins) in enumerate(curves.items()):
        colour = network_colour(name)
        place = drawn[colour] = drawn.get(colour, -1) + 1
        total = sum(count for count, _, _ in bins)
        points = [
            (100 * sure, 100 * right, 100 * count / total)
            for count, sure, right in bins
            if count and count >= _FEWEST * total
        ]
        sure, right, share = zip(*points, strict=True) if points else ((), (), ())
        line = {
            "color": colour, "marker": "o", "markersize": 3, "linewidth": 1.5,
            "linestyle": line_dashes(place),
        }  # fmt: skip
        axes.plot(sure, right, **line, label=figure_text(name), gid=f"{RELIABILITY_GID}-{number}")
        below.plot(sure, share, **line)
    words = {"color": GREY, "fontsize": 9, "ha": "center", "va": "center"}
    axes.text(30, 92, "less sure than right", **words)
    axes.text(70, 8, "surer than right", **words)
    below.set_xlabel("probability of the predicted class, %", fontsize=9)
    axes.set_ylabel("right pixels, %", fontsize=9)
    below.set_ylabel("share of all pixels, %", fontsize=9)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    below.set_ylim(bottom=0)
    for each in (axes, below):
        each.tick_params(labelsize=8)
        each.grid(color="#EEEEEE")
        hide_spines(each, "right", "top")
    figure.legend(loc="outside lower center", frameon=False, fontsize=8)
    return figure
