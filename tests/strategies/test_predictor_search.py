"""The predictor as a strategy: which of the scored samples it keeps, and what it says of that."""

import numpy as np
import pytest

from autoseg.proposers import Course
from autoseg.proposers.predictor import LinearPredictor
from autoseg.strategies.discrete_strategies import PredictorSearch
from tests.strategies.contract import task_of
from tests.strategies.test_estimator import drawn

SCORES = (0.10, 0.12, 0.30, 0.11, 0.29, 0.28, 0.13, 0.27)


def searched(scores, *, population_size=4, course=None):
    """A search that has scored architectures by hand."""
    search = PredictorSearch(task_of("predictor", population_size=population_size))
    for seed, score in enumerate(scores):
        failure = "NaN" if score is None else None
        given = None if score is None else (score,)
        search.study.add(drawn(seed), given, failure=failure, course=course)
    return search


def means_by_hand(search, scores):
    """The mean of each score and of what a ridge of this penalty, fitted to the others, says."""
    features = np.array(
        [search.study.sampler.domain.features(drawn(i)) for i in range(len(scores))]
    )
    scores, deviation = np.array(scores), features.std(0)
    scaled = (features - features.mean(0)) / np.where(deviation > 0, deviation, 1)
    penalty = LinearPredictor.fit(features, scores).penalty
    predicted = []
    for i in range(len(scores)):
        others = np.arange(len(scores)) != i
        design = np.c_[np.ones(others.sum()), scaled[others]]
        ridge = np.diag([0.0] + [penalty] * scaled.shape[1])
        weights = np.linalg.solve(design.T @ design + ridge, design.T @ scores[others])
        predicted.append(np.r_[1, scaled[i]] @ weights)
    return (scores + predicted) / 2


def luckiest_that_is_not_kept():
    """Orders of the scores by which the highest one is not what the means call best."""
    for shift in range(len(SCORES)):
        scores = SCORES[shift:] + SCORES[:shift]
        search = searched(scores)
        means = means_by_hand(search, scores)
        if means.argmax() != np.argmax(scores):
            return search, scores, means
    raise AssertionError("each order keeps the highest score")


def test_the_sample_with_the_highest_mean_is_kept_and_said():
    search, scores, means = luckiest_that_is_not_kept()
    best = search.best()
    assert best is not None and best.number == means.argmax()
    text = search.report().text
    place = sorted(scores, reverse=True).index(scores[best.number]) + 1
    assert f"highest {max(scores):.4f}; kept is one of {scores[best.number]:.4f}" in text
    assert f"(sample {best.number + 1}), number {place} by score." in text
    assert "have the highest mean. Whether" in text


def test_while_there_are_too_few_to_predict_from_the_score_alone_decides():
    search = searched((0.1, None, 0.3, 0.2), population_size=4)  # three with a score
    best = search.best()
    assert best is not None and best.number == 2
    assert search.choice == ""


def test_what_a_pruner_stopped_is_not_kept():
    search = PredictorSearch(task_of("predictor", population_size=2))
    for seed, (steps, score) in enumerate([(4, 0.1), (2, 0.9), (4, 0.2), (2, 0.8)]):
        course = Course(scores={steps: score}, is_pruned=steps == 2, bracket=0)
        search.study.add(drawn(seed), (score,), course=course)
    best = search.best()
    assert best is not None and best.number in (0, 2)


@pytest.mark.parametrize("scores", [(), (None, None)])
def test_without_a_score_nothing_is_kept(scores):
    assert searched(scores).best() is None
