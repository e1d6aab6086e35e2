"""The cost of a step as a product of powers of its sizes: fitted, written and drawn."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator, StrMethodFormatter

from autoseg.reporting.figure import BLUE, VERMILLION, hide_spines, new_figure
from autoseg.reporting.fonts import figure_text
from autoseg.reporting.tables import Column, to_markdown

from .steps import Size, StepRow, Work

FACTORS: dict[str, tuple[int, ...]] = {
    "num_layers": (4, 6, 9, 12),
    "filter_multiplier": (2, 4, 8, 16),
    "crop": (64, 96, 128, 192),
    "batch_size": (2, 4, 8, 16),
}
"""Values of each factor, while the others are those of `Size`."""

_WORDS = {
    "num_layers": "layers",
    "filter_multiplier": "filters F",
    "crop": "crop (pixels)",
    "batch_size": "batch (images)",
}
_COLOURS = {"search": BLUE, "retraining": VERMILLION}
_COLUMNS = (
    Column(key="work", heading="Step of"),
    Column(key="num_layers", heading="Layers", kind="exact"),
    Column(key="filter_multiplier", heading="F", kind="exact"),
    Column(key="crop", heading="Crop (pixels)", kind="exact"),
    Column(key="batch_size", heading="Batch (images)", kind="exact"),
    Column(key="num_processes", heading="Processes", kind="exact"),
    Column(key="num_params", heading="Parameters", kind="exact"),
    Column(key="median_ms", heading="Median", kind="number", unit="ms"),
    Column(key="fastest_ms", heading="Fastest", kind="number", unit="ms"),
    Column(key="slowest_ms", heading="Slowest", kind="number", unit="ms"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Law:
    """A step takes coefficient * product of factor^exponent, in milliseconds of one processor."""

    work: Work
    coefficient: float
    exponents: dict[str, float]
    """By factor, in the order of `FACTORS`."""
    largest_error: float
    """Largest distance of a measured size from the law, as a share of the law."""
    num_sizes: int

    def milliseconds(self, size: Size) -> float:
        """Return what the law says of a size."""
        powers = [getattr(size, name) ** power for name, power in self.exponents.items()]
        return self.coefficient * float(np.prod(powers))


def fit_law(rows: Sequence[StepRow], work: Work) -> Law:
    """Fit the medians of one process by least squares in the logarithms, all factors at once."""
    used = [row for row in rows if (row.work, row.num_processes) == (work, 1)]
    logs = np.log([[getattr(row, factor) for factor in FACTORS] for row in used])
    found = np.log([row.median_ms for row in used])
    design = np.column_stack([np.ones(len(used)), logs])
    solution = np.linalg.lstsq(design, found, rcond=None)[0]
    return Law(
        work=work,
        coefficient=float(np.exp(solution[0])),
        exponents=dict(zip(FACTORS, map(float, solution[1:]), strict=True)),
        largest_error=float(np.abs(np.expm1(found - design @ solution)).max()),
        num_sizes=len(used),
    )


def markdown(rows: Sequence[StepRow], laws: Sequence[Law]) -> str:
    """Write the laws, what several processes add, and the table."""
    return "\n".join(
        [
            "# What a step costs by its size",
            "",
            *(f"- {_law_in_words(law)}" for law in laws),
            *(f"- {_shared_in_words(row, rows)}" for row in rows if row.num_processes > 1),
            "",
            "Written by `python benchmarks/scaling.py`. Times are those of the processor, of all "
            "threads and processes together, in float32 with one thread each; loading and "
            "validation are not counted. A step of the search moves the weights and then alpha and "
            "beta of the tiny preset's space; one of a retraining moves the weights of an "
            "architecture with that space's nodes and all layers at stride 8. One factor at a time "
            "differs from layers 6, F 4, crop 96, batch 4.",
            "",
            to_markdown([_cells(row) for row in rows], _COLUMNS),
            "",
        ]
    )


def _cells(row: StepRow) -> dict[str, object]:
    return {column.key: getattr(row, column.key) for column in _COLUMNS}


def _law_in_words(law: Law) -> str:
    powers = " x ".join(f"{_WORDS[name]}^{power:.2f}" for name, power in law.exponents.items())
    return (
        f"A step of the {law.work} takes {law.coefficient:.3g} ms x {powers}, within "
        f"{law.largest_error:.0%} of each of {law.num_sizes} measured sizes."
    )


def _shared_in_words(row: StepRow, rows: Sequence[StepRow]) -> str:
    (alone,) = [each for each in rows if each.size == replace(row.size, num_processes=1)]
    added = row.median_ms / alone.median_ms - 1
    return (
        f"Shared by {row.num_processes} processes at crop {row.crop}, a step of the {row.work} "
        f"takes {added:+.0%} of processor time in all."
    )


def draw_laws(rows: Sequence[StepRow], laws: Sequence[Law]) -> Figure:
    """Draw a panel for each factor: measured sizes, and the law through them."""
    medians = {row.size: row.median_ms for row in rows}
    figure = new_figure(11.0, 3.4)
    panels = figure.subplots(1, len(FACTORS), sharey=True)
    for axes, (factor, values) in zip(panels, FACTORS.items(), strict=True):
        for law in laws:
            base = Size(work=law.work)
            wanted = [replace(base, **{factor: value}) for value in values]
            times = [medians[size] for size in wanted]
            colour = _COLOURS[law.work]
            axes.plot(values, times, marker="o", markersize=5, linestyle="none", color=colour)
            label = figure_text(f"{law.work}: power {law.exponents[factor]:.2f}")
            fitted = [law.milliseconds(size) for size in wanted]
            axes.plot(values, fitted, color=colour, linewidth=1.4, label=label)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(values, labels=[figure_text(str(value)) for value in values])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(figure_text(_WORDS[factor]))
        axes.legend(frameon=False, fontsize=8, loc="upper left")
        hide_spines(axes, "right", "top")
    panels[0].set_ylabel("processor time of a step (ms)")
    low, high = panels[0].get_ylim()
    panels[0].set_ylim(low, high * (high / low) ** 0.3)  # room for the legends
    return figure
