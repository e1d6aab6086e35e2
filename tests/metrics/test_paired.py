"""The interval of a gain against plain loops over drawn images."""

import numpy as np
import pytest
import torch

from autoseg.metrics import ConfusionMatrix, gain_interval, overlaps


def matrices(seed, *, num_images=12, num_classes=4):
    counts = np.random.default_rng(seed).integers(0, 50, (num_images, num_classes, num_classes))
    counts[0] = 0  # an image without labels
    counts[:, 2] = 0  # a class that occurs in predictions alone
    counts[1:, 3] = counts[1:, :, 3] = 0
    counts[1, 3, 3] = 5  # a class that most draws do not hold
    return counts


def images(seed):
    return np.stack([overlaps(torch.from_numpy(counts)).numpy() for counts in matrices(seed)])


def score(counts):
    confusion = ConfusionMatrix(len(counts), ignore_index=255)
    confusion.counts = torch.from_numpy(counts)
    return confusion.mean_iou()


def test_overlaps_by_hand():
    counts = torch.tensor([[3, 1, 0], [2, 4, 0], [0, 0, 0]])
    assert overlaps(counts).tolist() == [[3, 4, 0], [6, 7, 0]]


def test_interval_by_plain_loops():
    before, after = matrices(1), matrices(2)
    num_images = len(before) - 1
    draws = np.random.default_rng(7).multinomial(num_images, [1 / num_images] * num_images, 1000)
    gains = []
    for draw in draws:
        drawn = [i + 1 for i, times in enumerate(draw) for _ in range(times)]
        gains.append(score(after[drawn].sum(0)) - score(before[drawn].sum(0)))
    expected = np.quantile(gains, (0.025, 0.975))
    assert gain_interval(images(1), images(2), seed=7) == pytest.approx(expected, abs=1e-14)


def test_a_prediction_gains_nothing_over_itself_and_the_sign_is_the_seconds():
    assert gain_interval(images(1), images(1)) == (0, 0)
    perfect = images(1)
    perfect[:, 0] = perfect[:, 1]
    low, _ = gain_interval(images(1), perfect)
    assert low > 0


def test_counts_of_other_images_are_refused():
    with pytest.raises(ValueError, match=r"counts are \(12, 2, 4\) and \(11, 2, 4\); expected two"):
        gain_interval(images(1), images(1)[1:])
    with pytest.raises(ValueError, match="with some pixel counted"):
        gain_interval(0 * images(1), images(1))
