"""Picture of a tuning of the CRF: score by trial, and score by each parameter."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from autoseg.reporting.figure import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    VERMILLION,
    formula,
    hide_spines,
    new_figure,
)
from autoseg.reporting.fonts import figure_text

_PARAMETERS = {
    "bilateral_weight": r"bilateral weight $w_1$",
    "bilateral_xy_std": r"bilateral xy std $\sigma_\alpha$ (pixels)",
    "bilateral_rgb_std": r"bilateral rgb std $\sigma_\beta$ (0 to 255)",
    "spatial_weight": r"spatial weight $w_2$",
    "spatial_xy_std": r"spatial xy std $\sigma_\gamma$ (pixels)",
    "num_iterations": "iterations",
}
# Hollow: stock parameters may be the best, and their mark must show inside.
_BEST_MARK: dict[str, Any] = {
    "color": GREEN, "marker": "*", "markersize": 15, "markerfacecolor": "none",
    "markeredgewidth": 1.6,
}  # fmt: skip
_STOCK_MARKS = ((VERMILLION, "s"), (ORANGE, "D"), (PURPLE, "^"))


def draw_tuning(record: Mapping[str, Any], *, title: str | None = None) -> Figure:
    """Draw mIoU against the trial and against each of the six parameters.

    Args:
        record: A tuning record: `trials` and `stock` (each with `parameters` and `mean_iou`),
            `mean_iou_without`, and the best trial's `parameters` and `mean_iou`.
        title: Text above the drawing; None leaves it out.

    Returns:
        The figure. A dashed line is the network without a CRF. The vertical axis reaches from the
        tenth worst of a hundred trials to the best: the worst may lie far below.
    """
    figure = new_figure(10.0, 7.6)
    grid = figure.add_gridspec(3, 3, height_ratios=(1.15, 1, 1))
    top = figure.add_subplot(grid[0, :])
    slices = [figure.add_subplot(grid[1 + place // 3, place % 3]) for place in range(6)]
    limits = _limits(record)
    _draw_trials(top, record["trials"])
    top.set_xlabel("trial", fontsize=9)
    for axes, (name, heading) in zip(slices, _PARAMETERS.items(), strict=True):
        _draw_slice(axes, record, name)
        axes.set_xlabel(formula(heading), fontsize=9)
    for axes in (top, *slices):
        without = 100 * record["mean_iou_without"]
        axes.axhline(without, color="black", linewidth=1.2, linestyle=(0, (5, 2)), gid="no_crf")
        axes.set_ylim(*limits)
        axes.grid(color="#EEEEEE")
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8)
        hide_spines(axes, "right", "top")
    for axes in (top, slices[0], slices[3]):
        axes.set_ylabel("mIoU (%)", fontsize=9)
    _mark_stock(top, record)
    top.plot([], [], color="black", linewidth=1.2, linestyle=(0, (5, 2)), label="no CRF")
    figure.legend(loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    if title is not None:
        figure.suptitle(figure_text(title), fontsize=11)
    return figure


def _draw_trials(axes: Axes, trials: Sequence[Mapping[str, Any]]) -> None:
    scores = [100 * trial["mean_iou"] for trial in trials]
    numbers = list(range(1, len(scores) + 1))
    axes.plot(
        numbers, scores, color=GREY, marker="o", markersize=3.5, linestyle="none", label="trial",
        gid="trials",
    )  # fmt: skip
    axes.step(
        numbers, list(accumulate(scores, max)), color=BLUE, linewidth=1.6, where="post",
        label="best so far", gid="best_so_far",
    )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_slice(axes: Axes, record: Mapping[str, Any], name: str) -> None:
    trials = record["trials"]
    values = [trial["parameters"][name] for trial in trials]
    scores = [100 * trial["mean_iou"] for trial in trials]
    axes.plot(values, scores, color=GREY, marker="o", markersize=3, linestyle="none", gid=name)
    for each, (colour, mark) in zip(record["stock"], _STOCK_MARKS, strict=False):
        axes.plot(
            each["parameters"][name], 100 * each["mean_iou"], color=colour, marker=mark,
            markersize=6, linestyle="none",
        )  # fmt: skip
    axes.plot(
        record["parameters"][name], 100 * record["mean_iou"], linestyle="none", **_BEST_MARK,
    )  # fmt: skip
    if name == "num_iterations":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())


def _mark_stock(axes: Axes, record: Mapping[str, Any]) -> None:
    """Mark stock parameters and the best trial among the trials; the legend takes its words."""
    numbers = {id(trial): number for number, trial in enumerate(record["trials"], start=1)}
    for each, (colour, mark) in zip(record["stock"], _STOCK_MARKS, strict=False):
        number = next(
            numbers[id(trial)]
            for trial in record["trials"]
            if trial["parameters"] == each["parameters"]
        )
        axes.plot(
            number, 100 * each["mean_iou"], color=colour, marker=mark, markersize=6,
            linestyle="none", label=figure_text(each["name"]),
        )  # fmt: skip
    best = max(record["trials"], key=lambda trial: trial["mean_iou"])
    axes.plot(
        numbers[id(best)], 100 * best["mean_iou"], linestyle="none", label="best", **_BEST_MARK,
    )  # fmt: skip


def _limits(record: Mapping[str, Any]) -> tuple[float, float]:
    """Return the vertical range, in percent: all but the worst trials, stock and no CRF."""
    scores = sorted(100 * trial["mean_iou"] for trial in record["trials"])
    shown = [*scores[len(scores) // 10 :], 100 * record["mean_iou_without"]]
    shown += [100 * each["mean_iou"] for each in record["stock"]]
    margin = 0.06 * (max(shown) - min(shown)) or 1.0
    return min(shown) - margin, max(shown) + margin
