import math
import warnings

import pytest
import torch
from torch import nn

from autoseg.data import build_dataset
from autoseg.evaluation import evaluate
from autoseg.training import DivergedError, validate
from autoseg.training.validation import labelled_indices, spread_indices
from tests.training.unlabelled import Unlabelled

CPU = torch.device("cpu")


def dataset(*labelled):
    images = build_dataset("synthetic", split="val", image_size=(24, 32), length=10)
    result = Unlabelled(images, range(10))
    result.labelled = labelled
    return result


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [(10, 5, [0, 2, 4, 6, 8]), (7, 3, [0, 2, 4]), (3, 0, [0, 1, 2]), (3, 9, [0, 1, 2])],
)
def test_indices_are_spread_evenly(length, count, expected):
    assert spread_indices(length, count) == expected


@pytest.mark.parametrize("count", [0, 3, 10])
def test_one_image_with_labels_is_enough_to_keep_the_spread(count):
    last = spread_indices(10, count)[-1]
    assert labelled_indices(dataset(last), count) == spread_indices(10, count)


def test_other_images_are_taken_where_the_spread_has_no_labels():
    # 0 and 5 are spread evenly.
    with pytest.warns(
        UserWarning, match="none of the 2 images of the val split .*; 2 of the 4 that"
    ):
        assert labelled_indices(dataset(1, 2, 3, 9), 2) == [1, 3]
    with pytest.warns(UserWarning, match="1 of the 1 that"):
        assert labelled_indices(dataset(7), 2) == [7]


def test_a_split_without_labels_is_told():
    rule = r"no pixel of the val split of synthetic is labelled \(all are \d+, which is left out\)"
    with pytest.warns(UserWarning, match=rule):
        assert labelled_indices(dataset(), 2) == [0, 5]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12))


def test_the_score_is_that_of_an_evaluation():
    images, net = dataset(*range(10)), network()
    score = validate(net, images, device=CPU, indices=[1, 4], image_scale=1.0, step=3)
    expected = evaluate(net, images, device=CPU, indices=[1, 4]).plain
    assert score.mean_iou == expected.mean_iou()
    assert score.pixel_accuracy == expected.pixel_accuracy()
    assert score.num_averaged == expected.num_averaged


def test_images_without_labels_have_no_score():
    score = validate(network(), dataset(), device=CPU, indices=[1, 4], image_scale=1.0, step=3)
    assert math.isnan(score.mean_iou) and math.isnan(score.pixel_accuracy)


@pytest.mark.parametrize("spoil", ["weight", "running_var"])
def test_nan_is_a_divergence(spoil):
    net = network()
    with torch.no_grad():
        getattr(net[1], spoil).fill_(math.nan)
    rule = r"output holds NaN at the validation after step 3\. Checkpoints .* third of the learning"
    with pytest.raises(DivergedError, match=rule), warnings.catch_warnings():
        validate(net, dataset(1), device=CPU, indices=[1], image_scale=1.0, step=3)
