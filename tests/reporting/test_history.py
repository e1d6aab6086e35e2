"""The curves are read back from the artists."""

import math

import pytest

from autoseg.reporting import draw_history

RECORDS = [
    {"epoch": 1, "loss": 2.0, "val_miou": 0.25, "alpha_entropy": 2.0, "beta_entropy": 1.0},
    {"epoch": 2, "loss": None, "val_miou": 0.5, "alpha_entropy": 1.5, "skip_share": 0.3},
    {"step": 7},
    {"epoch": 4, "loss": 1.0},
]


def curve(figure, field):
    (line,) = figure.findobj(lambda artist: artist.get_gid() == field)
    return line.get_xydata().tolist()


def test_an_entropy_that_hardly_moved_looks_so():
    lines = [{"epoch": epoch, "alpha_entropy": 1 - epoch / 1e4} for epoch in (1, 2, 3)]
    low, high = draw_history(lines).axes[2].get_ylim()
    assert low <= 0.9 and high >= 1
    lines.append({"epoch": 4, "alpha_entropy": 0.4})
    assert draw_history(lines).axes[2].get_ylim()[0] < 0.4


def test_curves_by_hand():
    figure = draw_history(RECORDS, title="a search")
    assert curve(figure, "val_miou") == [[1, 25.0], [2, 50.0]]  # in percent
    assert curve(figure, "skip_share") == [[2, 30.0]]
    assert curve(figure, "alpha_entropy") == [[1, 2.0], [2, 1.5]]
    assert curve(figure, "beta_entropy") == [[1, 1.0]]
    (first, gap, last) = curve(figure, "loss")
    assert (first, last) == ([1, 2.0], [4, 1.0])
    assert math.isnan(gap[1])
    assert figure.get_suptitle() == "a search"


@pytest.mark.parametrize(
    "records", [[], [{"step": 1}], [{"epoch": 1}], [{"epoch": 1, "loss": None}]]
)
def test_empty_panels_say_so(records):
    figure = draw_history(records)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts == ["not logged"] * 4


def test_only_the_missing_panels_say_so():
    figure = draw_history([{"epoch": 1, "loss": 3.0}])
    assert [len(axes.texts) for axes in figure.axes] == [0, 1, 1, 1]
