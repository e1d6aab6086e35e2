"""The cell is read back from the artists; nothing may cover an operation's name."""

import random
from collections import Counter
from itertools import combinations, pairwise

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from autoseg.architecture import NO_OPERATION, OPERATIONS, Architecture
from autoseg.reporting import draw_cell, draw_cells
from autoseg.reporting.cell import EDGE_GID, OP_GID, short_op_name
from tests.architecture.cells import DARTS_V2

PUBLISHED = Architecture.load("autodeeplab_paper")


def random_architecture(num_nodes, seed):
    generator = random.Random(seed)
    ops = [op for op in OPERATIONS if op != NO_OPERATION]
    cell = tuple(
        tuple((source, generator.choice(ops)) for source in generator.sample(range(2 + node), 2))
        for node in range(num_nodes)
    )
    return Architecture(space="x", strides=(4, 8), path=(4, 8), cell=cell)


def named(figure, prefix):
    return figure.axes[0].findobj(lambda artist: (artist.get_gid() or "").startswith(prefix))


@pytest.mark.parametrize(
    ("op", "short"),
    [
        ("skip_connect", "skip"),
        ("max_pool_3x3", "max pool 3x3"),
        ("sep_conv_5x5", "sep 5x5"),
        ("dil_conv_3x3", "dil 3x3"),
        ("atrous_conv_5x5", "atrous 5x5"),
    ],
)
def test_short_names_by_hand(op, short):
    assert short_op_name(op) == short


def test_short_names_stay_different():
    assert len({short_op_name(op) for op in OPERATIONS}) == len(OPERATIONS)


def test_published_cell_has_its_operations_and_edges():
    figure = draw_cell(PUBLISHED)
    counts = Counter(text.get_text() for text in named(figure, OP_GID))
    assert counts == {"sep 3x3": 4, "sep 5x5": 3, "atrous 5x5": 2, "atrous 3x3": 1}
    # Figure 3 of the paper, as source and node; nodes are counted from 2.
    edges = [(0, 2), (1, 2), (0, 3), (1, 3), (0, 4), (3, 4), (2, 5), (4, 5), (3, 6), (5, 6)]
    assert sorted(line.get_gid() for line in named(figure, EDGE_GID)) == sorted(
        f"{EDGE_GID}-{source}-{node}" for source, node in edges
    )


def test_each_of_two_cells_has_a_drawing():
    figures = draw_cells(DARTS_V2)
    assert list(figures) == ["cell_normal", "cell_reduction"]
    counts = [Counter(t.get_text() for t in named(f, OP_GID)) for f in figures.values()]
    assert counts == [
        {"sep 3x3": 5, "skip": 2, "dil 3x3": 1},
        {"max pool 3x3": 5, "skip": 3},
    ]
    assert list(draw_cells(PUBLISHED)) == ["cell"]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("num_nodes", [1, 2, 5, 8])
def test_each_line_ends_at_its_own_operation(num_nodes, seed):
    architecture = random_architecture(num_nodes, seed)
    figure = draw_cell(architecture)
    labels = {text.get_position(): text.get_text() for text in named(figure, OP_GID)}
    assert len(labels) == 2 * num_nodes
    found = []
    for line in named(figure, EDGE_GID):
        source, node = map(int, line.get_gid().removeprefix(EDGE_GID + "-").split("-"))
        end_x, end_y = line.get_xydata()[-1]
        # The operation on the same row whose left side is nearest to the line's end.
        position = min(
            (position for position in labels if abs(position[1] - end_y) < 1e-9),
            key=lambda position: abs(position[0] - end_x),
        )
        found.append((node - 2, source, labels[position]))
    expected = [
        (node, edge.source, short_op_name(edge.op))
        for node, edges in enumerate(architecture.cell)
        for edge in edges
    ]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(2, 6))]
)
@pytest.mark.parametrize("num_nodes", [1, 5, 8])
def test_nothing_covers_an_operation(num_nodes, seed):
    """Neither another name nor any line, measured in pixels on the finished drawing."""
    figure = draw_cell(random_architecture(num_nodes, seed))
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    axes = figure.axes[0]
    boxes = [text.get_window_extent(renderer) for text in named(figure, OP_GID)]
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    for line in axes.get_lines():
        for start, end in pairwise(axes.transData.transform(line.get_xydata())):
            for share in range(101):
                x, y = start + share / 100 * (end - start)
                assert not any(box.contains(x, y) for box in boxes)
