"""Pictures of the rows."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

from autoseg.reporting.figure import (
    BLUE,
    COLOURS,
    GREY,
    LIGHT_GREY,
    ORANGE,
    hide_spines,
    new_figure,
)
from autoseg.reporting.fonts import figure_text
from autoseg.reporting.tables import significant

from .scaling import FACTOR_NAMES, GRID, PowerLaw, points
from .setting import Row

_BAR = 0.66
_FLOOR = "floor: the work at the speed of a matrix product or a copy on this machine"


def draw_comparison(rows: Sequence[Row], *, title: str) -> Figure:
    """Draw step time and peak memory of the variants of one setting as bars.

    Args:
        rows: Rows of one setting; those without a measurement are passed over.
        title: Text above the drawing.

    Raises:
        ValueError: If no row has a measurement.
    """
    shown = [row for row in rows if row.step_min_ms is not None]
    if not shown:
        raise ValueError("draw_comparison: no variant was measured, so there is nothing to draw.")
    figure = new_figure(10.0, 1.5 + 0.42 * len(shown))
    left, right = figure.subplots(1, 2, sharey=True)
    names = [figure_text(row.variant) for row in shown]
    weight = [row.weight_min_ms or 0.0 for row in shown]
    arch = [row.arch_min_ms or 0.0 for row in shown]
    graph = [row.step_min_ms or 0.0 if row.weight_min_ms is None else 0.0 for row in shown]
    left.barh(names, weight, _BAR, color=BLUE, label="weights")
    left.barh(names, arch, _BAR, left=weight, color=ORANGE, label="alpha and beta")
    if any(graph):
        left.barh(names, graph, _BAR, color=GREY, label="both in one CUDA graph")
    left.set_xlabel("smallest time of half-steps and step (ms)")
    _label_bars(left, [row.step_min_ms for row in shown], "ms")
    left.axvline(shown[0].floor_ms, color="black", linewidth=1.2, linestyle=(0, (5, 2)))
    left.plot([], [], color="black", linewidth=1.2, linestyle=(0, (5, 2)), label=_FLOOR)
    left.invert_yaxis()
    right.barh(names, [row.memory_mib or 0.0 for row in shown], _BAR, color=LIGHT_GREY)
    right.set_xlabel("peak memory of a step (MiB)")
    _label_bars(right, [row.memory_mib for row in shown], "MiB")
    for axes in (left, right):
        hide_spines(axes, "right", "top")
        axes.tick_params(labelsize=9)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.suptitle(figure_text(title), fontsize=11)
    return figure


def _label_bars(axes: Axes, values: Sequence[float | None], unit: str) -> None:
    """Write each value behind its bar, in room that is made for it."""
    for number, value in enumerate(values):
        text = "not known" if value is None else f"{significant(value, 3)} {unit}"
        axes.annotate(
            figure_text(text), (value or 0.0, number), (4, 0), textcoords="offset points",
            va="center", fontsize=8.5,
        )  # fmt: skip
    axes.set_xlim(0, 1.22 * max((value or 0.0 for value in values), default=1.0) or 1.0)


def draw_scaling(rows: Sequence[Row], laws: Sequence[PowerLaw], *, title: str) -> Figure:
    """Draw step time against each factor, with the fitted power laws.

    Args:
        rows: Rows of all settings of the grid.
        laws: Their fits; those of memory are passed over.
        title: Text above the drawing.
    """
    figure = new_figure(11.0, 3.6)
    panels = figure.subplots(1, len(GRID), sharey=True)
    colours = dict(zip(dict.fromkeys(law.variant for law in laws), COLOURS[4:], strict=False))
    for axes, factor in zip(panels, GRID, strict=True):
        for law in laws:
            if (law.factor, law.quantity) != (factor, "step_min_ms"):
                continue
            x, y = zip(*points(rows, law.variant, factor, law.quantity), strict=True)
            colour = colours[law.variant]
            axes.plot(x, y, marker="o", markersize=5, linestyle="none", color=colour)
            ends = (x[0], x[-1])
            axes.plot(
                ends, [law.coefficient * end**law.exponent for end in ends], color=colour,
                linewidth=1.4, label=figure_text(f"{law.variant}: x^{law.exponent:.2f}"),
            )  # fmt: skip
        _log_axes(axes, GRID[factor])
        axes.set_xlabel(figure_text(FACTOR_NAMES[factor]), fontsize=9)
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    panels[0].set_ylabel("smallest time of a step (ms)", fontsize=9)
    low, high = panels[0].get_ylim()
    panels[0].set_ylim(low, high * (high / low) ** 0.3)  # room for the legends
    figure.suptitle(figure_text(title), fontsize=10)
    return figure


def _log_axes(axes: Axes, values: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(values, labels=[figure_text(str(value)) for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=8)
    axes.grid(color="#EEEEEE")
    axes.set_axisbelow(True)
    hide_spines(axes, "right", "top")
