"""The curves of a search, from the lines of its metrics.jsonl."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from autoseg.reporting.figure import BLUE, VERMILLION, formula, hide_spines, new_figure
from autoseg.reporting.fonts import figure_text

_ENTROPY_FROM = 0.9  # largest value at which the axis of the entropies begins


class _Curve(NamedTuple):
    field: str
    label: str
    colour: str
    marker: str
    scale: float = 1.0


_PANELS: tuple[tuple[str, str, tuple[_Curve, ...]], ...] = (
    ("Training loss", "cross-entropy, nats", (_Curve("loss", "", BLUE, "o"),)),
    ("Validation mIoU of the supernet", "%", (_Curve("val_miou", "", BLUE, "o", 100.0),)),
    (
        "Entropy: how undecided the search is",
        "share of the largest possible",
        (
            _Curve("alpha_entropy", r"$\alpha$, operations", BLUE, "o"),
            _Curve("beta_entropy", r"$\beta$, strides", VERMILLION, "s"),
            _Curve("normal_entropy", r"$\alpha$, normal cell", BLUE, "o"),
            _Curve("reduction_entropy", r"$\alpha$, reduction cell", VERMILLION, "s"),
        ),
    ),
    (
        "Skip connections in the cell decoded now",
        "% of its edges",
        (_Curve("skip_share", "", BLUE, "o", 100.0),),
    ),
)


def draw_history(records: Sequence[Mapping[str, Any]], *, title: str | None = None) -> Figure:
    """Draw loss, validation mIoU, entropies and the share of skip edges by epoch.

    Args:
        records: Lines of metrics.jsonl with any of the fields `epoch`, `loss`, `val_miou` (a
            fraction), `alpha_entropy`, `beta_entropy` (of a cell space `normal_entropy` and
            `reduction_entropy`) and `skip_share` (a fraction). A field that a record lacks, or
            that is null, leaves a gap; records without `epoch` are passed over.
        title: Text above the drawing; None leaves it out.

    Returns:
        The figure; a panel whose fields occur in no record says so.
    """
    figure = new_figure(9.0, 5.4)
    for axes, (heading, unit, curves) in zip(figure.subplots(2, 2).flat, _PANELS, strict=True):
        axes.set_title(figure_text(heading), fontsize=10, loc="left")
        axes.set_ylabel(figure_text(unit), fontsize=9)
        axes.set_xlabel("epoch", fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(labelsize=8)
        axes.grid(color="#EEEEEE")
        axes.set_axisbelow(True)
        hide_spines(axes, "right", "top")
        drawn = [_draw_curve(axes, records, curve) for curve in curves]
        if not any(drawn):
            axes.text(0.5, 0.5, "not logged", transform=axes.transAxes, ha="center", color="grey")
            axes.set_xticks([])
            axes.set_yticks([])
        elif len(curves) > 1:
            axes.legend(frameon=False, fontsize=8)
        if any(drawn) and unit.startswith("%"):
            axes.set_ylim(bottom=0)
        if any(drawn) and unit.startswith("share"):
            # Enlarged further, an entropy that hardly moved would look like a decision.
            low, high = axes.get_ylim()
            axes.set_ylim(min(low, _ENTROPY_FROM), max(high, 1.005))
    if title is not None:
        figure.suptitle(figure_text(title), fontsize=11)
    return figure


def _draw_curve(axes: Axes, records: Sequence[Mapping[str, Any]], curve: _Curve) -> bool:
    """Draw one curve; return whether there was anything to draw."""
    points = [
        (record["epoch"], _number(record.get(curve.field)) * curve.scale)
        for record in records
        if record.get("epoch") is not None and curve.field in record
    ]
    if all(math.isnan(value) for _, value in points):
        return False
    epochs, values = zip(*points, strict=True)
    axes.plot(
        epochs, values, color=curve.colour, marker=curve.marker, markersize=3.5, linewidth=1.6,
        label=formula(curve.label), gid=curve.field,
    )  # fmt: skip
    return True


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
