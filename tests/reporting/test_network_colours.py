"""A network has one colour in all figures, whatever else they show."""

import pytest
from matplotlib.colors import to_hex

from autoseg.networks import NETWORKS
from autoseg.reporting import draw_pareto, draw_training, network_colour
from autoseg.reporting.figure import COLOURS
from autoseg.reporting.training_curves import SCORE_GID
from autoseg.trained import REFERENCES, SEARCHED


def colours_of_curves(names):
    line = {"step": 1, "loss": 1.0, "val_miou": 0.5}
    figure = draw_training({name: [[line]] for name in names})
    curves = {line.get_gid(): to_hex(line.get_color()) for line in figure.axes[1].lines}
    return {name: curves[f"{SCORE_GID}-{number}"].upper() for number, name in enumerate(names)}


def colours_of_points(labels):
    rows = [
        {"label": label, "has_crf": False, "miou": 0.5, "macs": 10 + place}
        | {"total_latency_median_ms": 10.0 + place}
        for place, label in enumerate(labels)
    ]
    points = {
        line.get_xdata()[0]: to_hex(line.get_color()).upper()
        for line in draw_pareto(rows).axes[1].lines
        if line.get_marker() == "o"
    }
    return {label: points[10.0 + place] for place, label in enumerate(labels)}


@pytest.mark.parametrize("names", [[SEARCHED, *REFERENCES], ["icnet_resnet50"], sorted(NETWORKS)])
def test_the_curves_and_the_points_of_a_network_have_one_colour(names):
    expected = {name: network_colour(name) for name in names}
    assert colours_of_curves(names) == expected
    # A comparison lists the best first, and says of what size a network is.
    labels = [f"{name} x0.125" for name in reversed(names)]
    points = colours_of_points(labels)
    assert {label.split()[0]: colour for label, colour in points.items()} == expected


def test_what_is_retrained_by_default_has_four_colours():
    assert len({network_colour(name) for name in (SEARCHED, *REFERENCES)}) == 4


def test_size_seed_and_crf_change_no_colour():
    labels = ["my_net", "my_net F8 x0.125", "my_net (seed 3)", "my_net+crf x0.5"]
    assert len({network_colour(label) for label in labels}) == 1


def test_all_colours_are_used_and_the_searched_network_s_by_no_other():
    assert {network_colour(name) for name in NETWORKS} == {*COLOURS} - {network_colour(SEARCHED)}
