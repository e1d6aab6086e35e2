"""Accuracy against cost: which networks no other one beats in both."""

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from autoseg.reporting.figure import BLUE, GREY, hide_spines, new_figure
from autoseg.reporting.fonts import figure_text
from autoseg.reporting.labels import place_labels
from autoseg.reporting.network_colours import network_colour
from autoseg.reporting.tables import Record, prefix_for

FRONT_GID = "pareto-front"
"""Name of the artist that holds the Pareto front."""
UNSETTLED_GID = "unsettled"
"""Name of the artist that crosses the points whose time is not ranked."""

_UNSETTLED = {"linestyle": "none", "marker": "x", "markersize": 5, "color": "black"}


def pareto_front(costs: Sequence[float], scores: Sequence[float]) -> list[int]:
    """Find the points that no other point beats.

    A point is beaten by one that costs no more and scores no less, and is better in one of the two.
    Of points that are equal in both all are kept.

    Args:
        costs: Lower is better.
        scores: Higher is better; as many.

    Returns:
        Indices by rising cost, then by place in the arguments.
    """
    order = sorted(range(len(costs)), key=lambda i: (costs[i], -scores[i], i))
    front: list[int] = []
    for i in order:
        last = front[-1] if front else None
        if (
            last is None
            or scores[i] > scores[last]
            or (scores[i] == scores[last] and costs[i] == costs[last])
        ):
            front.append(i)
    return front


def draw_pareto(records: Sequence[Record], *, title: str | None = None) -> Figure:
    """Draw mIoU against MACs and against latency, with and without the CRF.

    Args:
        records: Rows with `label`, `has_crf`, `miou` (a fraction), `macs` and
            `total_latency_median_ms`; the two rows of a network have the same label, which must be
            its own. A row whose time is None has no place in its panel, and one whose
            `is_total_latency_settled` is False a cross and no part in its front. `miou_deviation`
            (a fraction), where there is one, is drawn as a bar. Rows without mIoU are passed over.
        title: Text above the drawing; None leaves it out.

    Returns:
        The figure: two panels. A thin line joins a network with and without the CRF. An axis of
        costs is logarithmic if they span more than a factor of 10.

    Raises:
        ValueError: If no row has an mIoU.
    """
    scored = [record for record in records if record.get("miou") is not None]
    if not scored:
        raise ValueError(
            "draw_pareto: no row has an mIoU, so there is nothing to draw; retrain a network first."
        )
    figure = new_figure(11.0, 4.8)
    left, right = figure.subplots(1, 2, sharey=True)
    has_crf = any(record["has_crf"] for record in scored)
    note = ", CRF not counted" if has_crf else ""
    divisor, prefix = prefix_for(max(record["macs"] for record in scored))
    left_panel = _draw_panel(
        left, scored, "macs", 1 / divisor, f"MACs of the network ({prefix}{note})"
    )
    note = ", CRF included" if has_crf else ""
    timed = [record for record in scored if record["total_latency_median_ms"] is not None]
    right_panel = _draw_panel(
        right, timed, "total_latency_median_ms", 1.0, f"median latency (ms{note})"
    )
    left.set_ylabel("mIoU (%)")
    unsettled = [record for record in timed if not _is_settled(record)]
    right.plot(
        [record["total_latency_median_ms"] for record in unsettled],
        [100 * record["miou"] for record in unsettled],
        **_UNSETTLED,
        zorder=5,
        gid=UNSETTLED_GID,
    )
    _draw_legend(figure, has_crf=has_crf, has_unsettled=bool(unsettled))
    if title is not None:
        figure.suptitle(figure_text(title), fontsize=11)
    for axes in (left, right):
        axes.autoscale_view()
    for axes in (left, right):
        axes.set_autoscale_on(False)  # what follows must not move the limits
    for axes, (labels, front) in ((left, left_panel), (right, right_panel)):
        _draw_front(axes, front)
        place_labels(axes, labels)
    return figure


def _draw_panel(
    axes: Axes, records: Sequence[Record], cost: str, scale: float, label: str
) -> tuple[list[Annotation], list[tuple[float, float]]]:
    """Draw the points over one cost; return the names, still to be placed, and the front."""
    xs = [record[cost] * scale for record in records]
    ys = [100 * record["miou"] for record in records]
    # MACs do not know the CRF, so there a network with it would beat the same one without it.
    competing = [
        i
        for i, record in enumerate(records)
        if (not record["has_crf"] if cost == "macs" else _is_settled(record))
    ]
    front = [
        competing[i] for i in pareto_front([xs[i] for i in competing], [ys[i] for i in competing])
    ]
    labels = []
    for name in sorted({record["label"] for record in records}):
        points = sorted(
            (record["has_crf"], x, y)
            for record, x, y in zip(records, xs, ys, strict=True)
            if record["label"] == name
        )
        labels.append(_draw_network(axes, name, points))
    for record, x, y in zip(records, xs, ys, strict=True):
        spread = 100 * (record.get("miou_deviation") or 0.0)
        axes.plot([x, x], [y - spread, y + spread], color=network_colour(record["label"]), zorder=2)
    if min(xs) > 0 and max(xs) > 10 * min(xs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(figure_text(label))
    axes.margins(0.14, 0.16)
    axes.grid(color="#EEEEEE")
    axes.set_axisbelow(True)
    hide_spines(axes, "right", "top")
    return labels, [(xs[i], ys[i]) for i in front]


def _is_settled(record: Record) -> bool:
    return record.get("is_total_latency_settled", True) is not False


def _draw_front(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Draw a staircase whose lower right side holds everything that some point beats."""
    if not points:
        return
    (_, right), (bottom, _) = axes.get_xlim(), axes.get_ylim()
    corners = [(points[0][0], bottom), points[0]]
    for (_, y), (next_x, next_y) in pairwise(points):
        corners += [(next_x, y), (next_x, next_y)]
    corners.append((right, points[-1][1]))
    axes.plot(
        *zip(*corners, strict=True), color=GREY, linewidth=1.4, linestyle=(0, (5, 2)), zorder=1,
        gid=FRONT_GID,
    )  # fmt: skip


def _draw_network(axes: Axes, name: str, points: Sequence[tuple[bool, float, float]]) -> Annotation:
    colour = network_colour(name)
    for (_, x, y), (_, next_x, next_y) in pairwise(points):
        axes.plot([x, next_x], [y, next_y], color=colour, linewidth=0.9, zorder=2)
    for has_crf, x, y in points:
        # The diamond is larger and lies below, so that both show where the CRF changes little.
        axes.plot(
            [x], [y], marker="D" if has_crf else "o", markersize=8.5 if has_crf else 6,
            color=colour, markerfacecolor="white" if has_crf else colour, markeredgewidth=1.5,
            zorder=3 if has_crf else 4,
        )  # fmt: skip
    _, x, y = points[0]
    label = axes.annotate(
        figure_text(name), (x, y), (0, 0), textcoords="offset points", fontsize=8.5, color="black",
        zorder=5,
    )  # fmt: skip
    label.set_in_layout(False)
    return label


def _draw_legend(figure: Figure, *, has_crf: bool, has_unsettled: bool) -> None:
    marks = [Line2D([], [], marker="o", linestyle="none", color=BLUE, label="network alone")]
    if has_crf:
        marks.append(
            Line2D(
                [], [], marker="D", linestyle="none", color=BLUE, markerfacecolor="none",
                markersize=8, label="with CRF",
            )
        )  # fmt: skip
    marks.append(Line2D([], [], color=GREY, linestyle=(0, (5, 2)), label="Pareto front"))
    if has_unsettled:
        marks.append(Line2D([], [], **_UNSETTLED, label="its time is not settled: not ranked"))
    figure.legend(
        handles=marks,
        loc="outside lower center",
        ncols=len(marks),
        frameon=False,
        fontsize=9,
    )
