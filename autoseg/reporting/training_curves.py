"""The curves of a retraining, from the lines of each network's metrics.jsonl."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from autoseg.reporting.figure import hide_spines, new_figure
from autoseg.reporting.fonts import figure_text
from autoseg.reporting.network_colours import line_dashes, network_colour

LOSS_GID, SCORE_GID = "training-loss", "training-score"
"""Names of the artists that hold the curves, each followed by "-" and the network's number."""

_LEGEND_ROW = 0.24  # inches


def draw_training(
    histories: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    score: str = "validation mIoU",
    title: str | None = None,
) -> Figure:
    """Draw loss and mIoU over the steps, a curve a network.

    Args:
        histories: For each network's name the lines of its metrics.jsonl, with the fields `step`,
            `loss` (the mean since the line before) and `val_miou` (a fraction); null leaves a gap.
        score: What `val_miou` is.
        title: Text above the drawing; None leaves it out.

    Returns:
        The figure. A ring marks each network's best validation, whose weights are kept. Networks
        of one colour have different dashes.
    """
    figure = new_figure(10.0, 3.5 + _LEGEND_ROW * len(histories))
    left, right = figure.subplots(1, 2)
    _dress(left, heading="training loss", unit="loss")
    _dress(right, heading=score, unit="%")
    lines, drawn = [], Counter[str]()
    for number, (name, records) in enumerate(histories.items()):
        colour = network_colour(name)
        dashes = line_dashes(drawn[colour])
        drawn[colour] += 1
        left.plot(
            *_points(records, "loss"), color=colour, linestyle=dashes, marker="o", markersize=3,
            linewidth=1.5, gid=f"{LOSS_GID}-{number}",
        )  # fmt: skip
        steps, scores = _points(records, "val_miou", scale=100.0)
        best = max(range(len(steps)), key=lambda i: _rank(scores[i]), default=None)
        text = f"{name}: not validated"
        if best is not None and not math.isnan(scores[best]):
            text = f"{name}: best {scores[best]:.2f} % at step {steps[best]}"
            right.plot(
                steps[best], scores[best], marker="o", markersize=9, markerfacecolor="none",
                markeredgewidth=1.5, linestyle="none", color=colour,
            )  # fmt: skip
        lines += right.plot(
            steps, scores, color=colour, linestyle=dashes, marker="o", markersize=3, linewidth=1.5,
            label=figure_text(text), gid=f"{SCORE_GID}-{number}",
        )  # fmt: skip
    for axes in (left, right):
        axes.set_ylim(bottom=0)
    figure.legend(handles=lines, loc="outside lower center", frameon=False, fontsize=8)
    if title is not None:
        figure.suptitle(figure_text(title), fontsize=11)
    return figure


def _dress(axes: Axes, *, heading: str, unit: str) -> None:
    axes.set_title(figure_text(heading), fontsize=10, loc="left")
    axes.set_ylabel(figure_text(unit), fontsize=9)
    axes.set_xlabel("step", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=8)
    axes.grid(color="#EEEEEE")
    axes.set_axisbelow(True)
    hide_spines(axes, "right", "top")


def _points(
    records: Sequence[Mapping[str, Any]], field: str, *, scale: float = 1.0
) -> tuple[list[int], list[float]]:
    """Return the steps of the lines that have the field, and its values; null becomes nan."""
    lines = [record for record in records if field in record and "step" in record]
    values = [math.nan if line[field] is None else scale * line[field] for line in lines]
    return [line["step"] for line in lines], values


def _rank(score: float) -> float:
    return -math.inf if math.isnan(score) else score
