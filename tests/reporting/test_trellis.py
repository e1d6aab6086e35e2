"""The trellis is read back from the artists and compared with the space and the architecture."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba

from autoseg.architecture import Architecture, SearchSpace, decode_path, normalise_beta
from autoseg.reporting import draw_path, draw_trellis
from autoseg.reporting.figure import ORANGE
from autoseg.reporting.trellis import EDGES_GID, PATH_GID

SPACE = SearchSpace.load("autodeeplab")


def small_space(num_layers, num_levels):
    strides = tuple(4 * 2**level for level in range(num_levels))
    return dataclasses.replace(SPACE, num_layers=num_layers, strides=strides)


def artist(figure, gid):
    """Return the one artist of the drawing that carries this name."""
    (found,) = figure.axes[0].findobj(lambda candidate: candidate.get_gid() == gid)
    return found


def drawn_edges(figure):
    """Return the drawn edges as ((layer before, level), (layer, level))."""
    segments = artist(figure, EDGES_GID).get_segments()
    return [tuple(tuple(map(int, point)) for point in segment) for segment in segments]


def edges_by_enumeration(num_layers, num_levels):
    """Walk every path from the stem and collect the edges it takes."""
    edges = set()
    for moves in itertools.product((-1, 0, 1), repeat=num_layers):
        levels = list(itertools.accumulate(moves, initial=0))
        if all(0 <= level < num_levels for level in levels):
            edges |= {
                ((layer, levels[layer]), (layer + 1, levels[layer + 1]))
                for layer in range(num_layers)
            }
    return edges


def test_paper_space_has_its_105_edges():
    edges = drawn_edges(draw_trellis(SPACE, torch.zeros(12, 4, 3)))
    assert len(edges) == len(set(edges)) == 105  # the paper's space: 105 of 144 entries are live


@pytest.mark.parametrize(("num_layers", "num_levels"), [(1, 1), (1, 4), (4, 2), (6, 4), (7, 5)])
def test_edges_are_those_that_some_path_takes(num_layers, num_levels):
    space = small_space(num_layers, num_levels)
    edges = drawn_edges(draw_trellis(space, torch.zeros(num_layers, num_levels, 3)))
    assert sorted(edges) == sorted(edges_by_enumeration(num_layers, num_levels))


def test_width_and_opacity_grow_with_the_weight():
    beta = torch.randn(12, 4, 3, generator=torch.Generator().manual_seed(1))
    figure = draw_trellis(SPACE, beta)
    weights = normalise_beta(SPACE, beta.double())
    expected = [
        float(weights[layer, level, target - level + 1])
        for (layer, level), (_, target) in drawn_edges(figure)
    ]
    lines = artist(figure, EDGES_GID)
    order = np.argsort(expected)
    widths = np.asarray(lines.get_linewidths())[order]
    opacities = lines.get_colors()[order, 3]
    assert (np.diff(widths) > 0).all()
    assert (np.diff(opacities) > 0).all()
    low, high = figure.axes[1].get_ylim()  # the colour scale
    # The scale's ends are the weights themselves; float64 on both sides.
    assert (low, high) == pytest.approx((min(expected), max(expected)), abs=1e-12)


def test_zero_beta_by_hand():
    """At one level nothing can be chosen; at two each node has two exits of weight 1/2."""
    for num_levels in (1, 2):
        figure = draw_trellis(small_space(3, num_levels), torch.zeros(3, num_levels, 3))
        widths = artist(figure, EDGES_GID).get_linewidths()
        assert len(set(np.round(widths, 9))) == 1
        assert figure.axes[1].get_ylim()[1] == pytest.approx(1 / num_levels)


def test_path_is_drawn_from_the_stem_through_every_layer():
    beta = torch.randn(12, 4, 3, generator=torch.Generator().manual_seed(2))
    path = decode_path(SPACE, beta)
    line = artist(draw_trellis(SPACE, beta, path=path), PATH_GID)
    assert line.get_xdata().tolist() == list(range(13))
    assert [SPACE.strides[int(level)] for level in line.get_ydata()] == [4, *path]
    assert to_rgba(line.get_color()) == to_rgba(ORANGE)


def test_no_path_marks_nothing():
    figure = draw_trellis(SPACE, torch.zeros(12, 4, 3))
    assert not figure.axes[0].findobj(lambda candidate: candidate.get_gid() == PATH_GID)


def test_draw_path_marks_the_published_path():
    architecture = Architecture.load("autodeeplab_paper")
    figure = draw_path(architecture, title="published")
    levels = artist(figure, PATH_GID).get_ydata()
    assert [architecture.strides[int(level)] for level in levels[1:]] == list(architecture.path)
    assert len(drawn_edges(figure)) == 105
    assert figure.axes[0].get_title(loc="left") == "published"


def test_axes_name_every_layer_and_stride():
    axes = draw_path(Architecture.load("autodeeplab_paper")).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["2", "4", "8", "16", "32"]
    layers = [text.get_text() for text in axes.get_xticklabels()]
    assert layers == ["stem", *(str(layer) for layer in range(1, 13))]
    assert axes.yaxis.get_view_interval()[0] > axes.yaxis.get_view_interval()[1]  # downwards
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("layer", "stride (downsampling)")


def test_the_rule_of_normalisation_is_named():
    beta = torch.zeros(12, 4, 3)
    assert "two-thirds" in draw_trellis(SPACE, beta, beta_norm="two-thirds").axes[1].get_ylabel()
    assert "softmax" in draw_trellis(SPACE, beta).axes[1].get_ylabel()


@pytest.mark.parametrize("path", [(4,) * 11, (4,) * 11 + (64,)])
def test_path_that_does_not_fit_is_refused(path):
    with pytest.raises(ValueError, match=r"path .* does not fit the space: it needs 12 strides"):
        draw_trellis(SPACE, torch.zeros(12, 4, 3), path=path)
