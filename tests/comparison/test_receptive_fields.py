"""What a comparison says of receptive fields, against a network whose gradient is its weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.comparison import Subject
from autoseg.comparison.documents import Comparison, comparison_markdown
from autoseg.comparison.grouping import group_networks
from autoseg.comparison.pictures import draw_fields
from autoseg.comparison.receptive_fields import columns_behind_crf, measure_receptive_field
from autoseg.comparison.report import comparison_page
from autoseg.comparison.writing import comparison_record
from autoseg.data import build_dataset
from tests.comparison.rows import network

SIZE = (32, 48)


@pytest.fixture(scope="module")
def convolution():
    """Classes from 3 x 5 pixels; the first one is ahead everywhere."""
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, (3, 5), padding=(1, 2))
    with torch.no_grad():
        layer.bias[0] = 1000
    return layer


@pytest.fixture(scope="module")
def field(convolution):
    subject = Subject(
        name="convolution",
        width=1.0,
        filter_multiplier=None,
        has_crf_layer=False,
        network=convolution,
        dataset=build_dataset("synthetic", split="val", image_size=SIZE, num_classes=4),
        indices=(0, 1, 2),
        image_scale=0.5,
        trained=None,
    )
    return measure_receptive_field(subject, device=torch.device("cpu"))


def test_the_field_of_a_linear_network_is_its_weights(convolution, field):
    expected = np.zeros((16, 24))
    weights = convolution.weight.detach()[0].abs().sum(0).double().numpy()
    expected[7:10, 10:15] = weights  # around row 16 // 2 and column 24 // 2
    np.testing.assert_allclose(field.effective, expected, rtol=1e-6)
    side = np.sqrt((weights > 0.0455 * weights.max()).sum())
    assert field.columns == {"theoretical_field": "3 x 5", "effective_field_px": side}
    assert field.theoretical.box == (7, 10, 10, 15) and field.notes == ()
    assert columns_behind_crf("3 x 5")["theoretical_field"] == "whole image"
    assert columns_behind_crf(None) == dict.fromkeys(field.columns)


def test_rows_tell_it_and_one_picture_has_each_network_once(field):
    other = replace(field)
    networks = [
        replace(network(label=label, miou=miou, **each.columns), receptive_field=each)
        for label, miou, each in [("a", 0.5, field), ("a (compile)", 0.6, field), ("b", 0.4, other)]
    ]
    (group,) = group_networks([*networks, network(label="c", miou=0.1)])
    titles = [axes.get_title() for axes in draw_fields(group).axes]
    assert [title for title in titles if title] == ["a", "b"]
    comparison = Comparison(groups=(group,), left_out=(), protocol={})
    lines = [row for row in comparison_markdown(comparison).splitlines() if "| 3 x 5" in row]
    assert [line.split("|")[1].strip() for line in lines] == ["a (compile)", "a", "b"]
    assert "receptive fields: what the pixel in the centre sees" in comparison_page(comparison)
    rows = [n["rows"][0] for n in comparison_record(comparison)["groups"][0]["networks"]]
    assert [row["theoretical_field"] for row in rows] == ["3 x 5"] * 3 + [None]


def test_nothing_is_told_or_drawn_where_nobody_asked():
    (group,) = group_networks([network()])
    comparison = Comparison(groups=(group,), left_out=(), protocol={})
    assert draw_fields(group) is None
    assert "| Receptive field" not in comparison_markdown(comparison)
    assert "receptive fields: what" not in comparison_page(comparison)


def test_seeds_have_the_mean_of_their_sides(field):
    trainings = [
        replace(
            network(
                seed=seed,
                training_sha256="x",
                run=f"runs/{seed}",
                miou=miou,
                theoretical_field="3 x 5",
                effective_field_px=side,
            ),
            receptive_field=each,
        )
        for seed, miou, side, each in [(0, 0.2, 4.0, field), (1, 0.6, 8.0, replace(field))]
    ]
    (group,) = group_networks(trainings)
    (joined,) = group.networks
    assert (joined.rows[0].theoretical_field, joined.rows[0].effective_field_px) == ("3 x 5", 6.0)
    assert joined.receptive_field is field  # of two, the lower mIoU is in the middle
