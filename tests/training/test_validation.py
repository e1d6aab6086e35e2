import math
import warnings

import pytest
import torch
from torch import nn

from autoseg.data import build_dataset
from autoseg.evaluation import evaluate
from autoseg.training import DivergedError, validate
from tests.data.unlabelled import Unlabelled

CPU = torch.device("cpu")


def dataset(*labelled):
    images = build_dataset("synthetic", split="val", image_size=(24, 32), length=10)
    result = Unlabelled(images, range(10))
    result.labelled = labelled
    return result


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
