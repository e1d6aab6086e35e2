"""The score of what a search has tried, against its cost, from the lines of its metrics.jsonl."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from autoseg.reporting.figure import BLUE, GREY, VERMILLION, hide_spines, new_figure
from autoseg.reporting.fonts import figure_text
from autoseg.reporting.pareto import pareto_front
from autoseg.reporting.tables import prefix_for


def draw_sample_front(
    records: Sequence[Mapping[str, Any]],
    *,
    quantity: str | None = None,
    title: str | None = None,
) -> Figure:
    """Draw each sample's score against its cost, and the Pareto front.

    Args:
        records: Lines of metrics.jsonl with the fields `score` (a number, or None where it is not
            defined) and `macs` or `latency_ms`; records without are passed over.
        quantity: What the scores are; None: mIoU on trainB, drawn in percent.
        title: Text above the drawing; None leaves it out.

    Returns:
        The figure; without a score it says so. The kept sample is the best of the front.
    """
    cost = "latency_ms" if any("latency_ms" in record for record in records) else "macs"
    samples = [
        record
        for record in records
        if record.get("score") is not None and record.get(cost) is not None
    ]
    figure = new_figure(6.0, 3.6)
    axes = figure.subplots()
    axes.set_ylabel(figure_text(quantity or "mIoU on trainB, %"), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="#EEEEEE")
    axes.set_axisbelow(True)
    hide_spines(axes, "right", "top")
    if samples:
        divisor, label = 1.0, "predicted latency of an image (ms)"
        if cost == "macs":
            divisor, prefix = prefix_for(max(sample["macs"] for sample in samples))
            label = f"multiply-accumulates of an image ({prefix})"
        axes.set_xlabel(figure_text(label), fontsize=9)
        costs = [sample[cost] / divisor for sample in samples]
        scores = [sample["score"] * (100.0 if quantity is None else 1.0) for sample in samples]
        axes.scatter(costs, scores, color=GREY, s=18, label="one architecture", gid="sample")
        front = pareto_front(costs, scores)
        xs, ys = [costs[i] for i in front], [scores[i] for i in front]
        axes.step(
            xs, ys, where="post", color=BLUE, linewidth=1.6, marker="o", markersize=4,
            label="Pareto front", gid="front",
        )  # fmt: skip
        axes.scatter(xs[-1], ys[-1], color=VERMILLION, s=40, zorder=3, label="kept", gid="kept")
        axes.legend(frameon=False, fontsize=8)
    else:
        axes.text(0.5, 0.5, "not logged", transform=axes.transAxes, ha="center", color="grey")
    if title is not None:
        figure.suptitle(figure_text(title), fontsize=11)
    return figure
