"""The history of decodes is read back from the artists."""

import math
from dataclasses import replace

import pytest

from autoseg.architecture import Architecture
from autoseg.reporting.paths import PATH_GID, SKIPS_GID, draw_paths

START = Architecture.load("autodeeplab_paper")
SKIPPING = replace(
    START,
    path=(8, *START.path[1:]),
    cell=((START.cell[0][0], START.cell[0][1]._replace(op="skip_connect")), *START.cell[1:]),
)


def line(epoch, found, **fields):
    return {"epoch": epoch, "architecture": found.to_dict(), **fields}


def confidence(path_margin, *margins):
    edges = [{"op_margin": margin, "edge_margin": None} for margin in margins]
    return {"path_margin": path_margin, "path_noise": 0.5, "edge_noise": 0.25, "edges": edges}


@pytest.fixture(scope="module")
def figure():
    return draw_paths(
        [
            line(1, START, alpha_entropy=1.0, beta_entropy=0.99, confidence=confidence(0.1, 1, 3)),
            {"step": 3},
            line(2, SKIPPING, alpha_entropy=0.98, confidence=confidence(0.0, 2, 4, 9)),
            line(3, SKIPPING, alpha_entropy=None, lambda_max=2.5),
        ],
        title="a search",
    )


def curve(figure, gid):
    (drawn,) = figure.findobj(lambda artist: artist.get_gid() == gid)
    return drawn.get_xydata().tolist()


def matrix(figure, gid):
    (drawn,) = figure.findobj(lambda artist: artist.get_gid() == gid)
    return drawn.get_array().tolist()


def test_the_path_has_a_column_an_epoch_and_a_row_a_layer(figure):
    strides = sorted({*START.path, *SKIPPING.path})
    drawn = matrix(figure, PATH_GID)
    for layer, row in enumerate(drawn):
        assert [strides[place] for place in row] == [
            found.path[layer] for found in (START, SKIPPING, SKIPPING)
        ]
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == [str(stride) for stride in strides]


def test_signs_of_collapse_by_hand(figure):
    assert matrix(figure, SKIPS_GID) == [[0, 0.5, 0.5], *[[0, 0, 0]] * (START.num_nodes - 1)]
    assert curve(figure, "lambda_max") == [[3, 2.5]]
    assert curve(figure, "alpha")[:2] == [[1, 1.0], [2, 0.98]]
    assert curve(figure, "beta") == [[1, 0.99]]
    (first, second, third) = curve(figure, "path-margin")
    assert first == [1, 0.1] and math.isnan(second[1]) and math.isnan(third[1])
    assert curve(figure, "cell-margin")[:2] == [[1, 2], [2, 4]]
    assert curve(figure, "changed-layers") == [[2, 1], [3, 0]]
    assert curve(figure, "changed-edges") == [[2, 1], [3, 0]]
    assert figure.get_suptitle() == "a search"
    assert not any(axes.texts for axes in figure.axes)


@pytest.mark.parametrize("records", [[], [{"step": 1}], [{"epoch": 1, "lambda_max": None}]])
def test_empty_panels_say_so(records):
    texts = [text.get_text() for axes in draw_paths(records).axes for text in axes.texts]
    assert texts == ["not logged"] * 6
