"""How right predictions are where they are so sure: a curve a network beside the diagonal."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from autoseg.reporting.figure import GREY, hide_spines, new_figure
from autoseg.reporting.fonts import figure_text
from autoseg.reporting.network_colours import network_colour

RELIABILITY_GID = "reliability"
"""Name of the artists that hold the curves, each followed by "-" and the number."""

_DASHES = ("solid", "dashed", "dotted", "dashdot")


def draw_reliability(curves: Mapping[str, Sequence[tuple[int, float, float]]]) -> Figure:
    """Draw accuracy by confidence.

    Args:
        curves: For each name the bins: number of pixels, mean confidence and accuracy, fractions; a
            bin without pixels is passed over. Names of one colour have different dashes.

    Returns:
        The figure. Below the diagonal a network is surer than right.

    Source: Niculescu-Mizil and Caruana 2005, "Predicting Good Probabilities With Supervised
    Learning", for the diagram.
    """
    figure = new_figure(5.6, 4.4 + 0.2 * len(curves))
    axes = figure.subplots()
    axes.plot(
        [0, 100], [0, 100], color=GREY, linewidth=1, linestyle=(0, (5, 2)), label="calibrated"
    )
    drawn: dict[str, int] = {}
    for number, (name, bins) in enumerate(curves.items()):
        colour = network_colour(name)
        place = drawn[colour] = drawn.get(colour, -1) + 1
        points = [(100 * sure, 100 * right) for count, sure, right in bins if count]
        axes.plot(
            [x for x, _ in points], [y for _, y in points], color=colour, marker="o", markersize=3,
            linestyle=_DASHES[place % len(_DASHES)], linewidth=1.5, label=figure_text(name),
            gid=f"{RELIABILITY_GID}-{number}",
        )  # fmt: skip
    axes.set_xlabel("probability of the predicted class, %", fontsize=9)
    axes.set_ylabel("right pixels, %", fontsize=9)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.tick_params(labelsize=8)
    axes.grid(color="#EEEEEE")
    hide_spines(axes, "right", "top")
    figure.legend(loc="outside lower center", frameon=False, fontsize=8)
    return figure
