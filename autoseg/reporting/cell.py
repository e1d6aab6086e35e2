"""The cell of an architecture as a graph.

Every node has a row of its own, with its two operations to the left of it, and every state has a
vertical lane of its own on which its lines turn. A line therefore crosses other lines, but never an
operation or its name, however many nodes there are.
"""

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from autoseg.architecture import AnyArchitecture, Cell, cell_operations
from autoseg.reporting.figure import COLOURS, formula, hide_spines, new_figure
from autoseg.reporting.fonts import figure_text

OP_GID, EDGE_GID = "cell-op", "cell-edge"
"""Names of the artists that hold an operation's name and the line that leads to it."""

_NUM_INPUTS = 2
_OP_WIDTH = 1.15
_LANE_STEP = 0.14
_OP_OFFSET = 0.23  # of a node's two operations above and below its row
_NODE_GAP = 0.5  # from an operation's centre to its node's centre, besides half a width
_MARGIN = 0.26


def short_op_name(op: str) -> str:
    """Return what a drawing calls an operation: "sep_conv_3x3" is "sep 3x3"."""
    return cell_operations()[op].label


class _Layout(NamedTuple):
    """Where everything stands; states are numbered as an edge's sources: 0, 1, then the nodes."""

    xs: tuple[float, ...]
    """Centre of each state."""
    ys: tuple[float, ...]
    """Row of each state."""
    lanes: tuple[float, ...]
    """x at which the lines that leave a state turn."""
    right: float
    """x of the output."""


def draw_cells(architecture: AnyArchitecture) -> dict[str, Figure]:
    """Draw each cell of an architecture.

    Returns:
        Its figures by the names of their files: "cell", or "cell_normal" and "cell_reduction".
    """
    if "cell" in architecture.cells:
        return {"cell": draw_cell(architecture)}
    return {
        f"cell_{name}": draw_cell(architecture, name=name, title=f"{name} cell")
        for name in architecture.cells
    }


def draw_cell(
    architecture: AnyArchitecture, *, name: str = "cell", title: str | None = None
) -> Figure:
    """Draw a cell: its two inputs, its nodes, the operation on each edge, and its output.

    Args:
        architecture: What to draw.
        name: Which of its `cells`.
        title: Text above the drawing; None leaves it out.

    Returns:
        The figure: the data flows to the right; the lines that leave a state have its colour.

    Source: Auto-DeepLab, arXiv 1901.02985, figure 3, right.
    """
    cell = architecture.cells[name]
    layout = _place(cell)
    num_nodes = len(cell)
    figure = new_figure(1.05 * (layout.right + 1.4), 0.9 * num_nodes + 1.1)
    axes = figure.add_subplot()
    axes.set_xlim(-0.45, layout.right + 0.95)
    axes.set_ylim(num_nodes - 0.4, -0.6)
    axes.set_xticks([])
    axes.set_yticks([])
    hide_spines(axes)
    _draw_output(axes, layout, num_nodes)
    for node, edges in enumerate(cell):
        state = node + _NUM_INPUTS
        op_x = layout.xs[state] - _NODE_GAP - _OP_WIDTH / 2
        for edge, offset in zip(edges, (-_OP_OFFSET, _OP_OFFSET), strict=True):
            op_y = layout.ys[state] + offset
            _draw_edge(axes, layout, edge.source, state, op_x, op_y)
            _draw_label(axes, op_x, op_y, short_op_name(edge.op), _colour(edge.source))
    for state in range(_NUM_INPUTS + num_nodes):
        _draw_state(axes, layout, state)
    axes.set_xlabel(
        "A node adds the results of its two operations.\n"
        "The output is the concatenation of all nodes.",
        fontsize=8,
    )
    if title is not None:
        axes.set_title(figure_text(title), fontsize=11, loc="left")
    return figure


def _place(cell: Cell) -> _Layout:
    depth = [0] * _NUM_INPUTS
    for edges in cell:
        depth.append(1 + max(depth[edge.source] for edge in edges))
    num_states = len(depth)
    columns = [[s for s in range(num_states) if depth[s] == d] for d in range(max(depth) + 1)]
    xs, lanes = [0.0] * num_states, [0.0] * num_states
    x = 0.0
    for column in columns:
        # The lowest state turns first: its lines go down and so do not meet those of the others.
        for i, state in enumerate(reversed(column)):
            xs[state] = x
            lanes[state] = x + _MARGIN + 0.1 + i * _LANE_STEP
        last_lane = x + _MARGIN + 0.1 + (len(column) - 1) * _LANE_STEP
        x = last_lane + _MARGIN + _OP_WIDTH + _NODE_GAP
    # Halfway between two rows, where no operation is: an input's line then runs along no other.
    middle = (len(cell) - 1) / 2
    offset = 0.5 if len(cell) % 2 else 1.0
    rows = [middle - offset, middle + offset, *map(float, range(len(cell)))]
    right = max(xs) + 0.95
    return _Layout(tuple(xs), tuple(rows), tuple(lanes), right)


def _colour(state: int) -> str:
    return COLOURS[state % len(COLOURS)]


def _draw_edge(
    axes: Axes, layout: _Layout, source: int, state: int, op_x: float, op_y: float
) -> None:
    lane = layout.lanes[source]
    left = op_x - _OP_WIDTH / 2
    xs = [layout.xs[source], lane, lane, left]
    ys = [layout.ys[source], layout.ys[source], op_y, op_y]
    axes.plot(
        xs, ys, color=_colour(source), linewidth=1.8, solid_joinstyle="round", zorder=2,
        gid=f"{EDGE_GID}-{source}-{state}",
    )  # fmt: skip
    axes.plot(
        [op_x + _OP_WIDTH / 2, layout.xs[state]], [op_y, layout.ys[state]],
        color=_colour(source), linewidth=1.8, zorder=2,
    )  # fmt: skip


def _draw_label(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    half = _OP_WIDTH / 2
    axes.fill(
        [x - half, x + half, x + half, x - half], [y - 0.17, y - 0.17, y + 0.17, y + 0.17],
        facecolor="white", edgecolor=colour, linewidth=1.4, joinstyle="round", zorder=3,
    )  # fmt: skip
    axes.text(x, y, figure_text(text), ha="center", va="center", fontsize=9, zorder=4, gid=OP_GID)


def _draw_state(axes: Axes, layout: _Layout, state: int) -> None:
    x, y = layout.xs[state], layout.ys[state]
    if state < _NUM_INPUTS:
        text, shape = ("H$_{l-2}$", "H$_{l-1}$")[state], "round,pad=0.45"
    else:
        text, shape = str(state - _NUM_INPUTS), "circle,pad=0.35"
    axes.text(
        x, y, formula(text), ha="center", va="center", fontsize=10, zorder=5,
        color="black" if _is_light(_colour(state)) else "white",
        bbox={"boxstyle": shape, "facecolor": _colour(state), "edgecolor": "white"},
    )  # fmt: skip


def _draw_output(axes: Axes, layout: _Layout, num_nodes: int) -> None:
    for state in range(_NUM_INPUTS, _NUM_INPUTS + num_nodes):
        y = layout.ys[state]
        axes.plot(
            [layout.xs[state], layout.right], [y, y], color=_colour(state), linewidth=1.0,
            linestyle=(0, (4, 2)), zorder=1,
        )  # fmt: skip
    axes.fill_betweenx(
        [-0.45, num_nodes - 0.55], layout.right - 0.2, layout.right + 0.2, color="#EEEEEE",
        edgecolor="#555555", zorder=3,
    )  # fmt: skip
    middle = (num_nodes - 1) / 2
    axes.text(
        layout.right, middle, "concat", rotation=270, ha="center", va="center", fontsize=10,
        zorder=4,
    )  # fmt: skip
    axes.annotate(
        "H$_l$", (layout.right + 0.2, middle), (layout.right + 0.62, middle), va="center",
        fontsize=11, arrowprops={"arrowstyle": "<-", "linewidth": 1.4}, annotation_clip=False,
    )  # fmt: skip


def _is_light(colour: str) -> bool:
    red, green, blue = to_rgb(colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
