"""The drawing of a tuning shows the record's numbers."""

import pytest

from autoseg.reporting.crf_tuning import draw_tuning
from autoseg.reporting.figure import png_bytes

NAMES = (
    *("bilateral_weight", "bilateral_xy_std", "bilateral_rgb_std"),
    *("spatial_weight", "spatial_xy_std", "num_iterations"),
)


def trial(number, score):
    parameters = {name: place + number for place, name in enumerate(NAMES, start=1)}
    return {"parameters": parameters | {"mode": "fast"}, "mean_iou": score}


@pytest.fixture
def record():
    trials = [trial(number, score) for number, score in enumerate((0.4, 0.6, 0.5, 0.7, 0.2))]
    return {
        "trials": trials,
        "stock": [trials[0] | {"name": "DeepLab"}, trials[1] | {"name": "other"}],
        "mean_iou_without": 0.65,
        "mean_iou": 0.7,
        "parameters": trials[3]["parameters"],
    }


def lines(figure, gid):
    found = [line for axes in figure.axes for line in axes.lines if line.get_gid() == gid]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in found]


def test_scores_by_trial_and_the_best_so_far(record):
    figure = draw_tuning(record, title="A run")
    ((x, y),) = lines(figure, "trials")
    assert x == [1, 2, 3, 4, 5]
    assert y == pytest.approx([40, 60, 50, 70, 20])
    ((_, best),) = lines(figure, "best_so_far")
    assert best == pytest.approx([40, 60, 60, 70, 70])
    without = lines(figure, "no_crf")
    assert len(without) == 7
    assert all(y == pytest.approx([65, 65]) for _, y in without)
    (legend,) = figure.legends
    words = [text.get_text() for text in legend.get_texts()]
    assert words == ["trial", "best so far", "DeepLab", "other", "best", "no CRF"]
    assert len(png_bytes(figure)) > 5000


@pytest.mark.parametrize("place", range(6))
def test_scores_by_parameter(record, place):
    ((x, y),) = lines(draw_tuning(record), NAMES[place])
    assert x == [place + 1 + number for number in range(5)]
    assert y == pytest.approx([40, 60, 50, 70, 20])
