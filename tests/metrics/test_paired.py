"""The interval of a gain against plain loops over drawn images."""

import numpy as np
import pytest
import torch
from scipy import stats

from autoseg.metrics import ConfusionMatrix, gain_interval, mean_gain_interval, overlaps
from autoseg.metrics.paired import student_quantile


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


def alike(miou, *, num_images=10):
    """Images that are all the same, so that drawing them anew changes nothing."""
    hit = round(1000 * miou)
    return np.tile(np.array([[hit, hit], [1000, 1000]]), (num_images, 1, 1))


@pytest.mark.parametrize("freedom", [1, 1.7, 2, 4.2, 30, 1e4])
@pytest.mark.parametrize("probability", [0.025, 0.5, 0.975, 0.995])
def test_students_quantile_is_scipys(probability, freedom):
    expected = stats.t.ppf(probability, freedom)
    assert student_quantile(probability, freedom) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_over_seeds_alone_the_interval_is_welchs():
    before, after = (0.30, 0.34, 0.33), (0.41, 0.36, 0.40, 0.47)
    expected = stats.ttest_ind(after, before, equal_var=False).confidence_interval(0.95)
    got = mean_gain_interval([alike(x) for x in before], [alike(x) for x in after])
    assert got == pytest.approx(tuple(expected), rel=1e-5)


def test_one_training_is_taken_to_vary_as_the_other_does():
    before, after = (0.30, 0.34, 0.33), 0.41
    half = stats.t.ppf(0.975, 2) * np.std(before, ddof=1) * (1 + 1 / 3) ** 0.5
    gain = after - np.mean(before)
    expected = pytest.approx((gain - half, gain + half), rel=1e-5)
    assert mean_gain_interval([alike(x) for x in before], [alike(after)]) == expected


def test_over_images_alone_the_interval_is_that_of_the_draws():
    assert mean_gain_interval([images(1)], [images(2)]) == gain_interval(images(1), images(2))
    # Three trainings that came out alike add nothing but Student's wider tails.
    low, high = mean_gain_interval([images(1)] * 3, [images(2)] * 3)
    draws = gain_interval(images(1), images(2))
    assert (high - low) == pytest.approx(draws[1] - draws[0], rel=0.25)
    assert mean_gain_interval([images(1)] * 2, [images(1)]) == (0, 0)


def test_the_same_trainings_are_compared_one_by_one():
    before, after = (0.30, 0.34, 0.33), (0.41, 0.44, 0.45)
    expected = stats.ttest_rel(after, before).confidence_interval(0.95)
    got = mean_gain_interval([alike(x) for x in before], [alike(x) for x in after], is_paired=True)
    assert got == pytest.approx(tuple(expected), rel=1e-5)
