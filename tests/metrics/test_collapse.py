"""A score that is no achievement is said to be none."""

import pytest
import torch

from autoseg.metrics import ConfusionMatrix, best_constant, doubt_about

NAMES = ("background", "cell", "wall")


def counted(rows, num_classes=2):
    confusion = ConfusionMatrix(num_classes, 255)
    confusion.counts = torch.tensor(rows)
    return confusion


def test_the_best_constant_scores_as_counted_by_hand():
    # 60 background, 40 cell: background everywhere has IoU 0.6 and 0.
    assert best_constant(counted([[50, 10], [20, 20]])) == (0, 0.3)
    confusion = ConfusionMatrix(3, 9)
    target = torch.tensor([[0, 0, 1], [1, 1, 9]])
    confusion.update(torch.ones_like(target), target)
    assert best_constant(confusion) == (1, confusion.mean_iou())


@pytest.mark.parametrize(
    ("rows", "colour", "message"),
    [
        ([[60, 0], [40, 0]], None, "it predicts background for every pixel: it has collapsed; "),
        ([[0, 6000], [1, 3999]], None, "it predicts cell for 99.99% of the pixels: it has coll"),
        (
            [[40, 20], [39, 1]],
            None,
            "its mIoU 0.2104 is no better than predicting background everywhere, which has 0.3000;",
        ),
        (
            [[50, 10], [20, 20]],
            0.6,
            "its mIoU 0.5125 is no better than a table of each pixel's colour, which has 0.6000; ",
        ),
    ],
)
def test_doubts_are_said_with_their_numbers(rows, colour, message):
    doubt = doubt_about(counted(rows), NAMES, colour_miou=colour)
    assert doubt is not None
    assert doubt.startswith(message)
    assert doubt.endswith("(--class-weights median_frequency, --class-uniform 0.5)")


def test_an_achievement_is_none_to_doubt():
    assert doubt_about(counted([[50, 10], [20, 20]]), NAMES, colour_miou=0.5) is None
    assert doubt_about(counted([[100, 0], [0, 0]]), NAMES) is None  # the truth has one class
    assert doubt_about(counted([[0, 0], [0, 0]]), NAMES) is None
