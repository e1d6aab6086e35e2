"""What to try next by a model of the scores: a ridge regression over what values are made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from autoseg.proposers.domain import Domain, Value
from autoseg.proposers.samplers import DomainSampler

Array = NDArray[np.float64]

PENALTIES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Ridge penalties of which the one is taken that predicts left-out scores best."""
NUM_DRAWS = 512
"""Values drawn at random, of which the one that the model calls best is tried."""


@dataclass(frozen=True, slots=True)
class LinearPredictor:
    """A ridge regression of scores over features, each scaled to mean 0 and deviation 1.

    The penalty is the one of `PENALTIES` whose predictions of left-out scores have the least mean
    square error.

    Source: Hoerl and Kennard 1970, "Ridge Regression"; the left-out predictions are those of Allen
    1974, "The Relationship between Variable Selection and Data Augmentation" (PRESS).
    """

    intercept: float
    """Mean of the scores."""
    centre: Array
    """(features,): their means."""
    scale: Array
    """(features,): their deviations, 1 where all are equal."""
    weights: Array
    """(features,): by how much the score rises with a deviation of each."""
    left_out: Array
    """(samples,): what a fit to all other samples, with this penalty, predicts of each score; its
    features are centred and scaled as here."""
    penalty: float
    """The penalty that was taken."""

    @classmethod
    def fit(cls, features: Array, scores: Array) -> "LinearPredictor":
        """Fit it.

        Args:
            features: (samples, features), at least 2 samples.
            scores: (samples,), finite.
        """
        centre, deviation = features.mean(0), features.std(0)
        scale = np.where(deviation > 0, deviation, 1.0)
        scaled = (features - centre) / scale
        intercept = float(scores.mean())
        centred = scores - intercept
        left, values, right = np.linalg.svd(scaled, full_matrices=False)
        projected = left.T @ centred
        fits: list[tuple[float, float, Array]] = []
        for penalty in PENALTIES:
            shrinkage = values**2 / (values**2 + penalty)
            # Of the intercept and of the weights: what each score has to do with its own fit.
            leverage = 1 / len(scores) + (left**2 * shrinkage).sum(1)
            missed = (centred - left @ (shrinkage * projected)) / (1 - leverage)
            fits.append((float((missed**2).mean()), penalty, scores - missed))
        _, penalty, left_out = min(fits, key=lambda fit: fit[0])
        weights = right.T @ (values / (values**2 + penalty) * projected)
        return cls(intercept, centre, scale, weights, left_out, penalty)

    def predict(self, features: Array) -> Array:
        """Predict scores.

        Args:
            features: (samples, features).

        Returns:
            (samples,).
        """
        return self.intercept + (features - self.centre) / self.scale @ self.weights


def shrunk(domain: Domain[Value], values: Sequence[Value], scores: Sequence[float]) -> Array:
    """Average the score of each value with the one that all other scores predict for it.

    The value with the best of many noisy scores is likely one whose noise was kind; what similar
    values score says by how much.

    Args:
        domain: Says what the values are made of.
        values: What was scored, 2 or more.
        scores: Finite, one for each value.
    """
    measured = np.array(scores, dtype=np.float64)
    predictor = LinearPredictor.fit(_features(domain, values), measured)
    return (measured + predictor.left_out) / 2


class PredictorSampler(DomainSampler[Value]):
    """Tries what a linear model of the scores so far calls best; random values at first.

    The model is a `LinearPredictor` over `Domain.features`, fitted anew for each proposal; it
    chooses among `NUM_DRAWS` values drawn at random. No climb leads to what it calls best of all:
    that is a value of extremes, a cell of one operation for example, about which no score has told
    it anything. Of values that a pruner stopped, it reads those that were trained for longest.

    Sources: Wen et al. 2020, "Neural Predictor for Neural Architecture Search", arXiv 1912.00848,
    section 3, with a linear predictor and one proposal a fit; White et al. 2021, "How Powerful are
    Performance Predictors in Neural Architecture Search?", arXiv 2104.01177.
    """

    def __init__(self, domain: Domain[Value], *, seed: tuple[int, ...], num_random: int) -> None:
        """Take the number of values that are drawn at random before there is a model."""
        super().__init__(domain, seed=seed)
        self.num_random = num_random

    def propose(self, study: optuna.Study, trial: FrozenTrial, generator: torch.Generator) -> Value:
        """Return the best of many random values; a single one while there are too few scores."""
        domain = self.domain
        states = (TrialState.COMPLETE, TrialState.PRUNED)
        scored = study.get_trials(deepcopy=False, states=states)
        longest = max((each.last_step or 0 for each in scored), default=0)
        scored = [each for each in scored if (each.last_step or 0) == longest]
        if len(scored) < max(2, self.num_random or 0):
            return domain.sample(generator)
        tried = [domain.decode(each.params) for each in scored]
        predictor = LinearPredictor.fit(
            _features(domain, tried), np.array([each.values[0] for each in scored])
        )
        known = set(tried)
        drawn = [domain.sample(generator) for _ in range(NUM_DRAWS)]
        candidates = [value for value in drawn if value not in known] or drawn
        return candidates[int(predictor.predict(_features(domain, candidates)).argmax())]


def _features(domain: Domain[Value], values: Sequence[Value]) -> Array:
    return np.array([domain.features(value) for value in values], dtype=np.float64)
