"""What a search would have decoded after each epoch, and how surely: collapse as it happens."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from autoseg.architecture import OPERATIONS, AnyArchitecture, Architecture, architecture_from_dict
from autoseg.architecture.cell import CellEdge
from autoseg.architecture.operations import SKIP
from autoseg.reporting.figure import (
    BLUE,
    GREEN,
    VERMILLION,
    formula,
    hide_spines,
    new_figure,
)
from autoseg.reporting.fonts import figure_text

PATH_GID, SKIPS_GID = "decoded-path", "skips-by-node"
"""Names of the images of strides and of skips, in the figure and in the SVG."""

_LIGHT_TO_DARK = LinearSegmentedColormap.from_list("light to dark", ["#CFE3F5", "#08306B"])
_NO_SKIPS_TO_ALL = LinearSegmentedColormap.from_list("skips", ["#F2F2F2", VERMILLION])

_Lines = Sequence[Mapping[str, Any]]


def draw_paths(records: _Lines, *, title: str | None = None) -> Figure:
    """Draw, epoch by epoch, the decoded path, its certainty and the signs of collapse.

    The panels: the stride of each layer of the path; the normalised entropies of alpha and beta;
    the margins of the path and of the cell's choices over the next best, in nats, dashed what the
    random start alone gives; what changed since the epoch before; the share of skip connections at
    each node, the first one next to the cell's inputs (of two cells one after the other); and, of a
    search that measures it, the largest eigenvalue of the Hessian with respect to alpha and beta.

    Args:
        records: Lines of metrics.jsonl with any of the fields `epoch`, `architecture`,
            `confidence`, `alpha_entropy`, `beta_entropy` and `lambda_max`; null leaves a gap, and
            records without `epoch` are passed over.
        title: Text above the drawing; None leaves it out.

    Returns:
        The figure; a panel whose fields occur in no record says so.

    Source: Zela et al. 2020, "Understanding and Robustifying DARTS", arXiv 1909.09656, for the
    eigenvalue and the skips; Auto-DeepLab, arXiv 1901.02985, for the path.
    """
    lines = [line for line in records if line.get("epoch") is not None]
    decoded = [
        (line["epoch"], architecture_from_dict(line["architecture"]))
        for line in lines
        if line.get("architecture") is not None
    ]
    figure = new_figure(12.0, 6.0)
    panels = figure.subplots(2, 3).flat
    draw: Sequence[tuple[str, str, Callable[[Axes], bool]]] = (
        ("Stride of each layer", "layer", lambda axes: _draw_strides(axes, decoded)),
        (
            "Entropy: how undecided it is",
            "share of the largest",
            lambda axes: _draw_entropies(axes, lines),
        ),
        ("Margin over the next best", "nats", lambda axes: _draw_margins(axes, lines)),
        (
            "Changed since the epoch before",
            "number",
            lambda axes: _draw_changes(axes, decoded),
        ),
        ("Skip connections by node", "node of the cell", lambda axes: _draw_skips(axes, decoded)),
        (
            "Sharpness: largest eigenvalue",
            "of the Hessian",
            lambda axes: _draw_curve(axes, _values(lines, "lambda_max"), "", BLUE, "lambda_max"),
        ),
    )
    for axes, (heading, unit, panel) in zip(panels, draw, strict=True):
        axes.set_title(figure_text(heading), fontsize=10, loc="left")
        axes.set_ylabel(figure_text(unit), fontsize=9)
        axes.set_xlabel("epoch", fontsize=9)
        axes.tick_params(labelsize=8)
        hide_spines(axes, "right", "top")
        if panel(axes):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        else:
            axes.text(0.5, 0.5, "not logged", transform=axes.transAxes, ha="center", color="grey")
            axes.set_xticks([])
            axes.set_yticks([])
    if title is not None:
        figure.suptitle(figure_text(title), fontsize=11)
    return figure


_Decoded = Sequence[tuple[int, AnyArchitecture]]


def _draw_strides(axes: Axes, decoded: _Decoded) -> bool:
    """Draw a column an epoch and a row a layer, the first layer on top; darker is coarser."""
    paths = [found.path for _, found in decoded if isinstance(found, Architecture)]
    if not paths:
        return False
    strides = sorted({stride for path in paths for stride in path})
    places = [[strides.index(stride) for stride in path] for path in paths]
    shades = [_LIGHT_TO_DARK(i / max(1, len(strides) - 1)) for i in range(len(strides))]
    _draw_columns(
        axes, [epoch for epoch, _ in decoded], np.array(places).T, cmap=ListedColormap(shades),
        vmin=-0.5, vmax=len(strides) - 0.5, gid=PATH_GID,
    )  # fmt: skip
    handles = [
        Patch(color=c, label=figure_text(str(s))) for s, c in zip(strides, shades, strict=True)
    ]
    axes.legend(
        handles=handles, fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02)
    )
    return True


def _draw_skips(axes: Axes, decoded: _Decoded) -> bool:
    if not decoded:
        return False
    shares = [
        [sum(OPERATIONS[edge.op].family == SKIP for edge in node) / len(node) for node in nodes]
        for nodes in (_nodes(found) for _, found in decoded)
    ]
    _draw_columns(
        axes, [epoch for epoch, _ in decoded], np.array(shares).T, cmap=_NO_SKIPS_TO_ALL,
        vmin=0.0, vmax=1.0, gid=SKIPS_GID,
    )  # fmt: skip
    handles = [
        Patch(color=_NO_SKIPS_TO_ALL(share), label=figure_text(f"{share:.0%}"))
        for share in (0.0, 0.5, 1.0)
    ]
    axes.legend(
        handles=handles, fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02)
    )
    return True


def _nodes(found: AnyArchitecture) -> list[tuple[CellEdge, ...]]:
    """List the edges of each node, cell after cell where there are several."""
    return [node for cell in found.cells.values() for node in cell]


def _draw_columns(
    axes: Axes,
    epochs: Sequence[int],
    values: NDArray[Any],
    *,
    cmap: ListedColormap | LinearSegmentedColormap,
    vmin: float,
    vmax: float,
    gid: str,
) -> None:
    """Draw a matrix (rows, epochs) as squares, the first row on top and numbered 1."""
    edges = np.array([*(epoch - 0.5 for epoch in epochs), epochs[-1] + 0.5])
    rows = np.arange(len(values) + 1) + 0.5
    mesh = axes.pcolormesh(
        edges, rows, values, cmap=cmap, vmin=vmin, vmax=vmax, edgecolor="white", linewidth=0.4
    )
    mesh.set_gid(gid)
    axes.invert_yaxis()
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_entropies(axes: Axes, lines: _Lines) -> bool:
    drawn = [
        _draw_curve(axes, _values(lines, "alpha_entropy"), r"$\alpha$, operations", BLUE, "alpha"),
        _draw_curve(axes, _values(lines, "beta_entropy"), r"$\beta$, strides", VERMILLION, "beta"),
    ]
    if any(drawn):
        # Enlarged further, an entropy that hardly moved would look like a decision.
        axes.set_ylim(min(0.9, axes.get_ylim()[0]), 1.005)
        axes.legend(frameon=False, fontsize=8)
    return any(drawn)


def _draw_margins(axes: Axes, lines: _Lines) -> bool:
    """Draw margins on a logarithmic axis; one of 0 is no decision, and has no place there."""
    confidences = [(line["epoch"], line.get("confidence") or {}) for line in lines]
    path = [(epoch, found.get("path_margin")) for epoch, found in confidences]
    path_noise = [(epoch, found.get("path_noise")) for epoch, found in confidences]
    edges = [(epoch, _median_margin(found)) for epoch, found in confidences]
    edge_noise = [(epoch, found.get("edge_noise")) for epoch, found in confidences]
    drawn = [
        _draw_curve(axes, _positive(path), "path", VERMILLION, "path-margin"),
        _draw_curve(axes, _positive(edges), "cell, median", BLUE, "cell-margin"),
    ]
    if not any(drawn):
        return False
    for points, colour in ((path_noise, VERMILLION), (edge_noise, BLUE)):
        kept = _positive(points)
        axes.plot(*zip(*kept, strict=True), color=colour, linestyle="dashed", linewidth=0.9)
    axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=8, title="dashed: of a random start", title_fontsize=8)
    return True


def _median_margin(confidence: Mapping[str, Any]) -> float | None:
    """Return the median margin of the operations and the edges that the cell keeps."""
    margins = [
        edge[name]
        for edge in confidence.get("edges", ())
        for name in ("op_margin", "edge_margin")
        if edge.get(name) is not None
    ]
    return median(margins) if margins else None


def _draw_changes(axes: Axes, decoded: _Decoded) -> bool:
    if len(decoded) < 2:
        return False
    layers, edges = [], []
    for (_, before), (epoch, found) in pairwise(decoded):
        if isinstance(before, Architecture) and isinstance(found, Architecture):
            layers.append((epoch, float(_num_different(before.path, found.path))))
        nodes = zip(_nodes(before), _nodes(found), strict=True)
        edges.append((epoch, float(sum(len(set(now) - set(then)) for then, now in nodes))))
    _draw_curve(axes, layers, "layers with another stride", VERMILLION, "changed-layers")
    _draw_curve(axes, edges, "other edges in the cell", GREEN, "changed-edges")
    most = max(number for _, number in (*layers, *edges))
    axes.set_ylim(-0.2, 1.4 * max(1.0, most))  # above the curves is place for the legend
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return True


def _num_different(before: Sequence[int], after: Sequence[int]) -> int:
    return sum(one != other for one, other in zip(before, after, strict=True))


def _values(lines: _Lines, name: str) -> list[tuple[int, float]]:
    return [(line["epoch"], _number(line[name])) for line in lines if name in line]


def _positive(points: Sequence[tuple[int, float | None]]) -> list[tuple[int, float]]:
    return [(x, math.nan if y is None or y <= 0 else float(y)) for x, y in points]


def _draw_curve(
    axes: Axes, points: Sequence[tuple[int, float]], label: str, colour: str, gid: str
) -> bool:
    """Draw one curve; return whether there was anything to draw."""
    if all(math.isnan(value) for _, value in points):
        return False
    axes.grid(color="#EEEEEE")
    axes.set_axisbelow(True)
    axes.plot(
        *zip(*points, strict=True), color=colour, marker="o", markersize=3, linewidth=1.5,
        label=formula(label), gid=gid,
    )  # fmt: skip
    return True


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
