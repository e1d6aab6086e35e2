"""The scores of architectures that a search has drawn, from the lines of its metrics.jsonl."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from autoseg.reporting.figure import BLUE, GREY, VERMILLION, hide_spines, new_figure
from autoseg.reporting.fonts import figure_text


def draw_scores(
    records: Sequence[Mapping[str, Any]],
    *,
    quantity: str | None = None,
    title: str | None = None,
) -> Figure:
    """Draw the score of each sample by its number, and the best score so far.

    Args:
        records: Lines of metrics.jsonl with the fields `sample` (its number) and `score` (a
            number, or None where it is not defined); records without `sample` are passed over.
            Where a pruner stopped some, `trained_steps` and `is_pruned` tell which are best.
        quantity: What the scores are; None: mIoU on trainB, drawn in percent.
        title: Text above the drawing; None leaves it out.

    Returns:
        The figure; without a score it says so.
    """
    unit = 100.0 if quantity is None else 1.0
    scored = [
        record
        for record in records
        if record.get("sample") is not None and record.get("score") is not None
    ]
    figure = new_figure(6.0, 3.6)
    axes = figure.subplots()
    axes.set_xlabel("architecture, in the order drawn", fontsize=9)
    axes.set_ylabel(figure_text(quantity or "mIoU on trainB, %"), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="#EEEEEE")
    axes.set_axisbelow(True)
    hide_spines(axes, "right", "top")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if scored:
        best, so_far = scored[0], []
        for record in scored:
            best = max(best, record, key=_merit)
            so_far.append(unit * best["score"])
        for is_pruned, face, gid, label in (
            (False, GREY, "score", "one architecture"),
            (True, "none", "pruned", "one that was stopped early"),
        ):
            points = [each for each in scored if each.get("is_pruned", False) == is_pruned]
            if points:
                axes.scatter(
                    [each["sample"] for each in points],
                    [unit * each["score"] for each in points],
                    facecolors=face,
                    edgecolors=GREY,
                    s=18,
                    label=figure_text(label),
                    gid=gid,
                )
        axes.step(
            [record["sample"] for record in scored],
            so_far,
            where="post",
            color=BLUE,
            linewidth=1.6,
            label="best so far",
            gid="best",
        )
        axes.scatter(
            best["sample"],
            unit * best["score"],
            color=VERMILLION,
            s=40,
            zorder=3,
            label="kept",
            gid="kept",
        )
        axes.legend(frameon=False, fontsize=8)
    else:
        axes.text(0.5, 0.5, "not logged", transform=axes.transAxes, ha="center", color="grey")
        axes.set_xticks([])
        axes.set_yticks([])
    if title is not None:
        figure.suptitle(figure_text(title), fontsize=11)
    return figure


def _merit(record: Mapping[str, Any]) -> tuple[int, float]:
    """Return what a search compares samples by: how far they were trained, then the score."""
    return record.get("trained_steps", 0), record["score"]
