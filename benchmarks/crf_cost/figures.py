"""Picture of the rows: time of each method by case, and distance from the exact CRF."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from autoseg.reporting.figure import BLUE, LIGHT_GREY, ORANGE, hide_spines, new_figure
from autoseg.reporting.fonts import figure_text
from autoseg.reporting.tables import significant

from .accuracy import pooled_rows
from .methods import PEERS
from .setting import CASES, AccuracyRow, CostRow

_BAR = 0.66
_ROOM = 1.35  # length of the axis, longest bar = 1


class NothingToDraw(ValueError):
    """The rows hold nothing that the picture shows."""


def draw_crf(costs: Sequence[CostRow], accuracy: Sequence[AccuracyRow], *, title: str) -> Figure:
    """Draw a panel of times a case and parameter set, and a panel of errors a parameter set.

    Times are those of the fewest iterations and the most threads that were measured. The exact mode
    has no bar of time and the local one none of error: beside theirs the others could not be seen.

    Args:
        costs: Rows with times; others are passed over.
        accuracy: Rows of the accuracy; the pooled ones are drawn.
        title: Text above the drawing.

    Raises:
        NothingToDraw: If there is no bar.
    """
    panels = _time_panels(costs)
    pooled = [
        row for row in pooled_rows(accuracy) if row.mean_error is not None and row.method != "local"
    ]
    errors = {
        name: [row for row in pooled if row.parameters == name]
        for name in dict.fromkeys(row.parameters for row in pooled)
    }
    count = len(panels) + len(errors)
    if count == 0:
        raise NothingToDraw("no picture: none of the methods that it shows was measured.")
    num_columns = min(2, count)
    num_rows = -(-count // num_columns)
    figure = new_figure(5.6 * num_columns, 2.6 * num_rows + 0.7)
    all_axes = list(figure.subplots(num_rows, num_columns, squeeze=False).flat)
    for axes in all_axes[count:]:
        axes.set_axis_off()
    places = iter(all_axes)
    for heading, rows in panels.items():
        axes = next(places)
        _bars(axes, [(row.method, row.median_ms or 0.0, row.speedup) for row in rows], "ms")
        axes.set_title(figure_text(heading), fontsize=9, loc="left")
        axes.set_xlabel("time, median (ms); in brackets the speed, pydensecrf = 1", fontsize=8)
    for name, rows in errors.items():
        axes = next(places)
        values = [(row.method, 1000 * (row.mean_error or 0.0), None) for row in rows]
        _bars(axes, values, "")
        heading = f"distance from the exact CRF, {name} parameters"
        axes.set_title(figure_text(heading), fontsize=9, loc="left")
        axes.set_xlabel("mean |Q - exact Q| (thousandths)", fontsize=8)
    drawn = {row.method for rows in (*panels.values(), *errors.values()) for row in rows}
    kinds = dict(sorted({_kind(method) for method in drawn}))
    figure.legend(
        handles=[Patch(color=colour, label=figure_text(kind)) for kind, colour in kinds.items()],
        loc="outside lower center", ncols=len(kinds), frameon=False, fontsize=8,
    )  # fmt: skip
    figure.suptitle(figure_text(title), fontsize=11)
    return figure


def _time_panels(costs: Sequence[CostRow]) -> dict[str, list[CostRow]]:
    """Choose the rows of each panel, by heading."""
    timed = [row for row in costs if row.median_ms is not None and row.method != "exact"]
    if not timed:
        return {}
    num_iterations = min(row.num_iterations for row in timed)
    num_threads = max(row.num_threads for row in timed)
    panels: dict[str, list[CostRow]] = {}
    for row in timed:
        if (row.num_iterations, row.num_threads) == (num_iterations, num_threads):
            threads = "1 thread" if num_threads == 1 else f"{num_threads} threads"
            label = CASES[row.case].label
            heading = f"{label}, {row.parameters}, {num_iterations} iterations, {threads}"
            panels.setdefault(heading, []).append(row)
    return panels


def _bars(axes: Axes, values: Sequence[tuple[str, float, float | None]], unit: str) -> None:
    """Draw bars with their values behind them."""
    names = [name for name, _, _ in values]
    colours = [_kind(name)[1] for name in names]
    axes.barh(
        [figure_text(name) for name in names],
        [value for _, value, _ in values],
        _BAR,
        color=colours,
    )
    for number, (_, value, speedup) in enumerate(values):
        text = f"{significant(value, 3)} {unit}".strip()
        if speedup is not None:
            text += f" ({significant(speedup, 2)}x)"
        axes.annotate(
            figure_text(text), (value, number), (4, 0), textcoords="offset points", va="center",
            fontsize=8,
        )  # fmt: skip
    axes.set_xlim(0, _ROOM * max((value for _, value, _ in values), default=1.0) or 1.0)
    axes.invert_yaxis()
    axes.tick_params(labelsize=8)
    hide_spines(axes, "right", "top")


def _kind(method: str) -> tuple[str, str]:
    """Return what computes a method, and the colour of its bars."""
    if method in PEERS:
        return "other software", LIGHT_GREY
    if "fused" in method:
        return "autoseg, compiled kernels", BLUE
    return "autoseg, plain operators", ORANGE
