"""The trellis is read back from the artists and compared with the space and the architecture."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba

from autoseg.architecture import Architecture, SearchSpace, decode_path
from autoseg.reporting import draw_path, draw_trellis
from autoseg.reporting.figure import LIGHT_GREY, ORANGE
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


@pytest.mark.parametrize("beta_norm", ["paper", "two-thirds"])
def test_without_a_search_no_edge_looks_preferred(beta_norm):
    """Weights are 1/2 at the finest and the coarsest stride and 1/3 elsewhere: no preference."""
    figure = draw_trellis(SPACE, torch.zeros(12, 4, 3), beta_norm=beta_norm)
    lines = artist(figure, EDGES_GID)
    assert len(set(np.round(lines.get_linewidths(), 9))) == 1
    # float64's rounding of 1/3 is 1e-16; the colours have 256 steps.
    np.testing.assert_allclose(lines.get_colors(), [to_rgba(LIGHT_GREY)] * 105, atol=0.01)


def test_width_and_colour_tell_the_distance_from_no_search():
    """Against the softmax of each node's live exits, times their number, node by node."""
    beta = torch.randn(12, 4, 3, generator=torch.Generator().manual_seed(1))
    figure = draw_trellis(SPACE, beta)
    edges = drawn_edges(figure)
    exits = {}
    for (layer, level), (_, target) in edges:
        exits.setdefault((layer, level), []).append(target)
    expected = []
    for source, (_, target) in edges:
        logits = {t: float(beta[(*source, t - source[1] + 1)]) for t in exits[source]}
        total = sum(math.exp(logit) for logit in logits.values())
        expected.append(math.log2(math.exp(logits[target]) / total * len(logits)))
    lines = artist(figure, EDGES_GID)
    widths = np.asarray(lines.get_linewidths())
    low, high = figure.axes[1].get_ylim()  # the colour scale
    assert (low, high) == (-2, 2)  # at most: x0.25 to x4
    within = np.abs(expected) < 2
    # Widths are linear in the logarithm.
    slope, middle = np.polyfit(np.asarray(expected)[within], widths[within], 1)
    np.testing.assert_allclose(
        widths, middle + slope * np.clip(expected, -2, 2), atol=1e-5
    )  # the colours' scale is float32
    assert slope > 0
    colours = np.asarray(lines.get_colors())
    redder = colours[:, 0] > colours[:, 2]
    assert (
        redder[np.asarray(expected) < -0.1].all() and not redder[np.asarray(expected) > 0.1].any()
    )


def test_a_beta_that_has_hardly_moved_looks_like_one():
    beta = torch.zeros(12, 4, 3)
    beta[5, 1, 0] = 0.01
    figure = draw_trellis(SPACE, beta)
    # The scale's ends stay where a change of a quarter would be.
    assert figure.axes[1].get_ylim() == pytest.approx((-math.log2(1.25), math.log2(1.25)))
    texts = [text.get_text() for text in figure.axes[1].get_yticklabels()]
    assert (texts[0], texts[2], texts[-1]) == ("x0.8", "x1", "x1.25")
    widths = artist(figure, EDGES_GID).get_linewidths()
    assert max(widths) / min(widths) < 1.1


def test_a_weight_of_nothing_is_drawn():
    beta = torch.zeros(12, 4, 3)
    beta[0, 0, 1] = 2000.0  # exp(-2000) is 0 in float64
    widths = artist(draw_trellis(SPACE, beta), EDGES_GID).get_linewidths()
    assert np.isfinite(widths).all()


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
