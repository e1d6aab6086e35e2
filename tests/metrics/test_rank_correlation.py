"""Kendall's tau against pairs counted by hand, against SciPy, and by what an interval must do."""

import math

import numpy as np
import pytest
from scipy import stats

from autoseg.metrics import kendall_interval, kendall_tau


def test_pairs_counted_by_hand() -> None:
    # Pairs of (1, 2, 3, 4) and (1, 3, 2, 4): five in the same order, one in the opposite one.
    assert kendall_tau([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(4 / 6)
    # The first ties one pair of three; of the other two both agree.
    assert kendall_tau([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / math.sqrt(2 * 3))


@pytest.mark.parametrize("seed", range(5))
def test_equals_scipy_with_and_without_ties(seed: int) -> None:
    generator = np.random.default_rng(seed)
    first = generator.integers(0, 4 + 20 * seed, size=17).astype(float)
    second = first + generator.integers(-6, 7, size=17)
    expected = stats.kendalltau(first, second, variant="b").statistic
    assert kendall_tau(first.tolist(), second.tolist()) == pytest.approx(expected, rel=1e-12)


def test_a_score_that_ties_everything_has_no_tau() -> None:
    assert math.isnan(kendall_tau([1, 1, 1], [1, 2, 3]))
    assert all(math.isnan(end) for end in kendall_interval([1, 1, 1], [1, 2, 3], num_resamples=9))


def test_scores_that_cannot_be_paired_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\)"):
        kendall_tau([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="a score is NaN"):
        kendall_tau([1, math.nan], [1, 2])


def test_the_interval_holds_the_true_tau_as_often_as_it_says() -> None:
    # For a normal pair of correlation r, tau is 2 / pi * asin(r); here r = 0.5 and tau = 1 / 3.
    num_trials, held = 100, 0
    for trial in range(num_trials):
        generator = np.random.default_rng(trial)
        first = generator.standard_normal(40)
        second = 0.5 * first + math.sqrt(0.75) * generator.standard_normal(40)
        low, high = kendall_interval(first.tolist(), second.tolist(), num_resamples=200)
        assert low < kendall_tau(first.tolist(), second.tolist()) < high
        held += low <= 1 / 3 <= high
    # 95 expected; the binomial's deviation is 2.2, and percentile intervals are a little short.
    assert 86 <= held <= 100
