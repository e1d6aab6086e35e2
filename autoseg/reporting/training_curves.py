"""The curves of a retraining, from the lines of each network's metrics.jsonl."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
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

_Points = tuple[list[int], list[float]]
"""Steps, and a value at each."""


def draw_training(
    trainings: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    *,
    score: str = "validation mIoU",
    title: str | None = None,
) -> Figure:
    """Draw loss and mIoU over the steps: a network's mean, and behind it each of its trainings.

    Args:
        trainings: For each network's name the lines of metrics.jsonl of its trainings, one a seed,
            with the fields `step`, `loss` (the mean since the line before) and `val_miou` (a
            fraction); null leaves a gap.
        score: What `val_miou` is.
        title: Text above the drawing; None leaves it out.

    Returns:
        The figure. A ring marks the best validation of each training, whose weights are kept. The
        mean is drawn at the steps that all trainings of a network have a value at. Networks of one
        colour have different dashes.
    """
    figure = new_figure(10.0, 3.5 + _LEGEND_ROW * len(trainings))
    left, right = figure.subplots(1, 2)
    _dress(left, heading="training loss", unit="loss")
    _dress(right, heading=score, unit="%")
    lines, drawn = [], Counter[str]()
    for number, (name, histories) in enumerate(trainings.items()):
        colour = network_colour(name)
        style = {"color": colour, "linestyle": line_dashes(drawn[colour])}
        drawn[colour] += 1
        losses = [_points(records, "loss") for records in histories]
        scores = [_points(records, "val_miou", scale=100.0) for records in histories]
        bests = [best for each in scores if (best := _best(each)) is not None]
        for axes, curves in ((left, losses), (right, scores)):
            for points in curves if len(curves) > 1 else ():
                axes.plot(*points, linewidth=0.7, alpha=0.5, **style)
        for best in bests:
            right.plot(
                *best, marker="o", markersize=9, markerfacecolor="none", markeredgewidth=1.5,
                linestyle="none", color=colour,
            )  # fmt: skip
        strong = {"marker": "o", "markersize": 3, "linewidth": 1.5} | style
        left.plot(*_mean(losses), gid=f"{LOSS_GID}-{number}", **strong)
        lines += right.plot(
            *_mean(scores), gid=f"{SCORE_GID}-{number}", **strong,
            label=figure_text(f"{name}: {_said(bests)}"),
        )  # fmt: skip
    for axes in (left, right):
        axes.set_ylim(bottom=0)
    figure.legend(
        handles=lines, loc="outside lower center", frameon=False, fontsize=8, handlelength=4
    )
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


def _points(records: Sequence[Mapping[str, Any]], field: str, *, scale: float = 1.0) -> _Points:
    """Return the steps of the lines that have the field, and its values; null becomes nan."""
    lines = [record for record in records if field in record and "step" in record]
    values = [math.nan if line[field] is None else scale * line[field] for line in lines]
    return [line["step"] for line in lines], values


def _mean(curves: Sequence[_Points]) -> _Points:
    """Average curves at the steps that all of them have."""
    values = [dict(zip(*points, strict=True)) for points in curves]
    steps = sorted(set.intersection(*map(set, values))) if values else []
    return steps, [mean(each[step] for each in values) for step in steps]


def _best(points: _Points) -> tuple[int, float] | None:
    """Return step and value of the highest point, of equal ones the first; None without one."""
    known = [(step, value) for step, value in zip(*points, strict=True) if not math.isnan(value)]
    return max(known, key=lambda point: point[1], default=None)


def _said(bests: Sequence[tuple[int, float]]) -> str:
    """Say the best validations of a network's trainings."""
    if not bests:
        return "not validated"
    if len(bests) == 1:
        return f"best {bests[0][1]:.2f} % at step {bests[0][0]}"
    scores = [score for _, score in bests]
    return f"best {mean(scores):.2f} %, deviation {stdev(scores):.2f}, of {len(scores)} seeds"
