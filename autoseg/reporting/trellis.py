"""The trellis of strides with the weights of its edges, and the path through it.

Source: Auto-DeepLab, arXiv 1901.02985, figures 1 and 3.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray
from torch import Tensor

from autoseg.architecture import (
    Architecture,
    BetaNorm,
    SearchSpace,
    TrellisEdge,
    normalise_beta,
)
from autoseg.architecture.trellis import trellis_edges
from autoseg.reporting.figure import (
    BLUE,
    GREY,
    LIGHT_GREY,
    ORANGE,
    PURPLE,
    formula,
    hide_spines,
    new_figure,
)
from autoseg.reporting.fonts import figure_text

EDGES_GID, PATH_GID = "trellis-edges", "trellis-path"
"""Names of the artists that hold the edges and the chosen path, in the figure and in the SVG."""

_NODE_SIZE = 190.0
_THINNEST, _THICKEST = 0.6, 4.5
_PATH_WIDTH = 9.0
_REACH = math.log2(1.25), math.log2(4)
"""Ends of the colours, at least and at most: a beta that has hardly moved is to look like one, and
one edge that has all but vanished is not to fade the others."""
_WEAKER_TO_STRONGER: Colormap = LinearSegmentedColormap.from_list(
    "weaker to stronger",
    [(0.0, "#A0457E"), (0.25, PURPLE), (0.5, LIGHT_GREY), (0.75, "#4A90C2"), (1.0, "#08306B")],
)


def draw_trellis(
    space: SearchSpace,
    beta: Tensor,
    *,
    path: Sequence[int] | None = None,
    beta_norm: BetaNorm = "paper",
    title: str | None = None,
) -> Figure:
    """Draw what the search thinks of every edge between strides, and the path that was chosen.

    Colour and width say how far an edge is from the weight that it has without a search: 1/2 where
    two edges leave a node, at the finest and the coarsest stride, and 1/3 elsewhere under the
    paper's rule. The weights themselves would show that border as if it were a preference.

    Args:
        space: The space that is searched.
        beta: Logits of the edges, (num_layers, num_levels, 3).
        path: Stride of each layer's cell, to be marked; None marks nothing.
        beta_norm: Normalisation of beta; see `autoseg.architecture.normalise_beta`.
        title: Text above the drawing; None leaves it out.

    Returns:
        The figure: layers to the right, strides downwards; thick blue edges are stronger than
        without a search, thin purple ones weaker, grey ones as before.

    Raises:
        ValueError: If beta's shape is not the space's, or the path does not fit the space.

    Source: Auto-DeepLab, arXiv 1901.02985, figure 1 (the trellis) and figure 3 (the path).
    """
    if path is not None:
        _check_path(path, space.num_layers, space.strides)
    edges = space.trellis()
    changes = _changes(space, beta, edges, beta_norm=beta_norm)
    figure, axes = _new_trellis(space.num_layers, space.strides, title)
    lines = _draw_edges(axes, edges)
    reach = float(np.clip(np.abs(changes).max(), *_REACH))
    scale = Normalize(vmin=-reach, vmax=reach, clip=True)
    lines.set_color(list(_WEAKER_TO_STRONGER(scale(changes))))
    widths = _THINNEST + (_THICKEST - _THINNEST) * np.asarray(scale(changes))
    lines.set_linewidth(list(widths))
    colour_bar = figure.colorbar(
        ScalarMappable(norm=scale, cmap=_WEAKER_TO_STRONGER),
        ax=axes,
        fraction=0.03,
        pad=0.01,
        extend="min" if changes.min() < -reach else "neither",
        ticks=[-reach, -reach / 2, 0, reach / 2, reach],
        format=FuncFormatter(lambda change, _: f"x{2.0**change:.3g}"),
    )
    rule = "softmax over a node's exits" if beta_norm == "paper" else "two-thirds rule"
    colour_bar.set_label(
        formula(rf"weight from $\beta$ ({rule})" "\nover its share without a search"), fontsize=8
    )
    colour_bar.ax.tick_params(labelsize=8)
    hide_spines(colour_bar.ax)
    if path is not None:
        _draw_path(axes, path, space.strides, zorder=1)
    return figure


def _changes(
    space: SearchSpace, beta: Tensor, edges: Sequence[TrellisEdge], *, beta_norm: BetaNorm
) -> NDArray[np.float64]:
    """Return log2 of each edge's weight over that of a uniform beta."""
    logits = beta.detach().cpu().double()
    weights, uniform = (
        normalise_beta(space, each, rule=beta_norm).numpy() for each in (logits, 0 * logits)
    )
    places = tuple(np.array([(edge.layer, edge.source_level, edge.direction) for edge in edges]).T)
    # Not 0: a weight may underflow.
    return np.log2(np.maximum(weights[places], np.finfo(np.float64).tiny) / uniform[places])


def draw_path(architecture: Architecture, *, title: str | None = None) -> Figure:
    """Draw the path of an architecture through the trellis that it was taken from.

    Args:
        architecture: What to draw.
        title: Text above the drawing; None leaves it out.

    Source: Auto-DeepLab, arXiv 1901.02985, figure 3.
    """
    strides = architecture.strides
    figure, axes = _new_trellis(architecture.num_layers, strides, title)
    lines = _draw_edges(axes, trellis_edges(architecture.num_layers, len(strides)))
    lines.set_color(LIGHT_GREY)
    lines.set_linewidth(1.2)
    _draw_path(axes, architecture.path, strides, zorder=4)
    return figure


def _new_trellis(num_layers: int, strides: Sequence[int], title: str | None) -> tuple[Figure, Axes]:
    """Draw axes, stem and nodes; x is the layer (0 is the end of the stem), y the level."""
    figure = new_figure(max(6.0, 0.72 * num_layers + 2.6), 0.62 * len(strides) + 1.9)
    axes = figure.add_subplot()
    axes.set_xlim(-1.6, num_layers + 1.3)
    axes.set_ylim(len(strides) - 0.5, -1.5)  # strides grow downwards
    rows = [-1, *range(len(strides))]
    axes.set_yticks(rows, [figure_text(str(stride)) for stride in (strides[0] // 2, *strides)])
    axes.set_xticks(
        [-0.5, *range(1, num_layers + 1)],
        ["stem", *(figure_text(str(layer)) for layer in range(1, num_layers + 1))],
    )
    axes.set_xlabel("layer")
    axes.set_ylabel("stride (downsampling)")
    axes.tick_params(length=0)
    hide_spines(axes)
    axes.hlines(rows, -1.6, num_layers + 1.3, color="#F1F1F1", linewidth=1, zorder=0)
    axes.plot([-1, 0], [-1, 0], color=GREY, linewidth=2, zorder=2)
    axes.scatter([-1, 0], [-1, 0], s=_NODE_SIZE, color=GREY, zorder=5, gid="trellis-stem")
    reached = {
        (edge.layer + 1, edge.target_level) for edge in trellis_edges(num_layers, len(strides))
    }
    x, y = zip(*sorted(reached), strict=True)
    axes.scatter(
        x, y, s=_NODE_SIZE, facecolor="white", edgecolor=BLUE, linewidth=1.4, zorder=5,
        gid="trellis-nodes",
    )  # fmt: skip
    if title is not None:
        axes.set_title(figure_text(title), fontsize=11, loc="left")
    return figure, axes


def _draw_edges(axes: Axes, edges: Sequence[TrellisEdge]) -> LineCollection:
    segments = [
        [(edge.layer, edge.source_level), (edge.layer + 1, edge.target_level)] for edge in edges
    ]
    lines = LineCollection(segments, zorder=3, capstyle="round")
    lines.set_gid(EDGES_GID)
    axes.add_collection(lines)
    return lines


def _draw_path(axes: Axes, path: Sequence[int], strides: Sequence[int], *, zorder: int) -> None:
    """Mark a path; `zorder` above or below 3 puts it over or under the edges."""
    levels = [0, *(tuple(strides).index(stride) for stride in path)]
    layers = range(len(levels))
    axes.plot(
        layers, levels, color=ORANGE, linewidth=_PATH_WIDTH, alpha=0.85, zorder=zorder,
        solid_capstyle="round", solid_joinstyle="round", label="chosen path", gid=PATH_GID,
    )  # fmt: skip
    axes.scatter(
        layers[1:], levels[1:], s=_NODE_SIZE, facecolor=ORANGE, edgecolor="black",
        linewidth=1.4, zorder=6, gid="trellis-path-nodes",
    )  # fmt: skip
    end = len(path) + 0.85
    axes.plot([len(path), end], [levels[-1]] * 2, color=ORANGE, linewidth=3, zorder=1)
    axes.text(
        end, levels[-1], "ASPP", ha="center", va="center", fontsize=8, zorder=6,
        bbox={"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": ORANGE},
    )  # fmt: skip
    axes.legend(loc="upper right", frameon=False, fontsize=9, handlelength=1.6)


def _check_path(path: Sequence[int], num_layers: int, strides: Sequence[int]) -> None:
    unknown = [stride for stride in path if stride not in strides]
    if len(path) != num_layers or unknown:
        raise ValueError(
            f"draw_trellis: path {tuple(path)} does not fit the space: it needs {num_layers} "
            f"strides, each one of {tuple(strides)}."
        )
