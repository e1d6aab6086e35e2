"""A predictor of scores: against normal equations, fits without a sample, and every member."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from autoseg.architecture import CellSpace, sample_cell_architecture
from autoseg.proposers import (
    ArchitectureDomain,
    CellDomain,
    Course,
    Domain,
    LinearPredictor,
    PredictorSampler,
    Study,
    predictor,
    shrunk,
)
from autoseg.proposers.predictor import PENALTIES
from tests.proposers.domains import SPACE, every_architecture, planted

DOMAIN = ArchitectureDomain(SPACE)


@pytest.fixture
def data():
    """Features of which one never changes, and scores that depend on two of the others, noisily."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(14, 5)) * [1, 10, 0.1, 0, 1] + 3
    scores = features[:, 0] - 8 * features[:, 2] + 2 * generator.normal(size=14)
    return features, scores


def by_normal_equations(features, scores, penalty, *, of):
    """Predict by a ridge with a free intercept, its features scaled over all of `of`."""
    deviation = of.std(0)
    scale = np.where(deviation > 0, deviation, 1)
    design = np.c_[np.ones(len(features)), (features - of.mean(0)) / scale]
    penalties = np.diag([0.0] + [penalty] * features.shape[1])
    weights = np.linalg.solve(design.T @ design + penalties, design.T @ scores)
    return lambda other: np.c_[np.ones(len(other)), (other - of.mean(0)) / scale] @ weights


def left_out(features, scores, penalty):
    """Predict each score by a fit to the others."""
    predictions = []
    for i in range(len(scores)):
        others = np.arange(len(scores)) != i
        fit = by_normal_equations(features[others], scores[others], penalty, of=features)
        predictions.append(fit(features[i : i + 1]).item())
    return np.array(predictions)


def test_it_is_the_ridge_whose_left_out_predictions_err_least(data):
    features, scores = data
    errors = {p: ((left_out(features, scores, p) - scores) ** 2).mean() for p in PENALTIES}
    best = min(errors, key=errors.__getitem__)
    assert min(PENALTIES) < best < max(PENALTIES)
    model = LinearPredictor.fit(features, scores)
    assert model.penalty == best
    # Both in float64: sums of a dozen terms, whose order differs.
    np.testing.assert_allclose(model.left_out, left_out(features, scores, best), rtol=1e-10)
    other = features[::-1] * 1.5
    expected = by_normal_equations(features, scores, best, of=features)(other)
    np.testing.assert_allclose(model.predict(other), expected, rtol=1e-10)


def test_what_is_kept_is_half_measured_and_half_predicted():
    members = every_architecture(SPACE)[::97]
    _, score = planted(SPACE, 0)
    scores = [score(member) for member in members]
    features = np.array([DOMAIN.features(member) for member in members])
    penalty = LinearPredictor.fit(features, np.array(scores)).penalty
    expected = (left_out(features, np.array(scores), penalty) + scores) / 2
    np.testing.assert_allclose(shrunk(DOMAIN, members, scores), expected, rtol=1e-9)


def test_the_proposal_is_the_best_that_the_model_can_choose_from(monkeypatch):
    domain = ArchitectureDomain(dataclasses.replace(SPACE, num_nodes=1))
    members = every_architecture(domain.space)
    monkeypatch.setattr(predictor, "NUM_DRAWS", 20 * len(members))  # all but exp(-20) of them drawn
    study = Study(PredictorSampler(domain, seed=(0,), num_random=20))
    known, scores = [], []
    for _ in range(20):
        value = study.propose()
        known.append(value)
        scores.append(float(np.dot(domain.features(value), [1, -2, 3, -1, 0.5, 2, -1, 1.5])))
        study.add(value, (scores[-1],))
    features = np.array([domain.features(value) for value in known])
    model = LinearPredictor.fit(features, np.array(scores))
    untried = [member for member in members if member not in known]
    predicted = model.predict(np.array([domain.features(member) for member in untried]))
    chosen = untried.index(study.propose())
    assert predicted[chosen] == pytest.approx(predicted.max(), rel=1e-12)  # several are as good


def test_it_learns_from_what_was_trained_for_longest():
    study = Study(PredictorSampler(DOMAIN, seed=(0,), num_random=8))
    score = lambda value: -float(sum(map(value.strides.index, value.path)))  # noqa: E731
    for value in (study.propose() for _ in range(16)):
        is_stopped = len(study.trials) % 2 == 1
        # What was stopped says the opposite, by far.
        own = -10 * score(value) if is_stopped else score(value)
        course = Course(scores={1 if is_stopped else 2: own}, is_pruned=is_stopped, bracket=0)
        study.add(value, (own,), course=course)
    assert score(study.propose()) == 0  # all layers at the finest stride


def test_an_architecture_is_its_levels_and_operations():
    member = dataclasses.replace(
        every_architecture(SPACE)[0],
        path=(8, 16, 8),
        cell=tuple(
            tuple(edge._replace(op="sep_conv_3x3" if place else "skip_connect") for edge in node)
            for place, node in enumerate(every_architecture(SPACE)[0].cell)
        ),
    )
    # Levels 1, 2, 1 behind a stem at 0; squares 1, 4, 1; two edges each of two operations.
    assert DOMAIN.features(member) == [1, 2, 1, 2, 3, 2, 2, 0]


def test_other_domains_are_their_options():
    member = every_architecture(SPACE)[5]
    features = Domain.features(DOMAIN, member)
    names = [(name, option) for name, options in DOMAIN.options.items() for option in options]
    chosen = {pair for pair, given in zip(names, features, strict=True) if given == 1}
    assert chosen == set(DOMAIN.encode(member).items())
    assert set(features) == {0, 1}


def test_cells_are_their_operations_and_inputs():
    space = CellSpace.load("darts_cells")
    domain = CellDomain(space)
    member = sample_cell_architecture(space, torch.Generator().manual_seed(0))
    changed = domain.features(member)
    edges = list(itertools.chain(*member.normal))
    for name in {edge.op for edge in edges}:
        assert sum(edge.op == name for edge in edges) in changed
    # Each cell: 7 operations, 8 edges; of the nodes behind the first how many inputs they read.
    half = len(changed) // 2
    assert (half, sum(changed[:7])) == (7 + 3, 8)
    reads = [sum(edge.source < 2 for edge in node) for node in member.normal[1:]]
    assert changed[7:half] == reads
