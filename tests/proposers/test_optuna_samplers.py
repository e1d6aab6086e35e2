"""What TPE considers of many trials: what Optuna itself would build on, and no more."""

from copy import copy

import numpy as np
import optuna
import pytest
import torch
from optuna.samplers._tpe.sampler import _split_trials
from optuna.trial import TrialState

from autoseg.proposers import ArchitectureDomain, TPESampler, optuna_samplers
from autoseg.proposers.optuna_samplers import Considered
from tests.proposers.domains import SPACE

DOMAIN = ArchitectureDomain(SPACE)
SAMPLER = TPESampler(DOMAIN, seed=(0,), num_random=4)
MANY = 120


@pytest.fixture(scope="module")
def study():
    """A study of many trials: few different scores, every third stopped at one of two steps, the
    first before any."""
    generator = np.random.default_rng(0)
    study = optuna.create_study(direction="maximize")
    for number in range(MANY):
        score = float(generator.integers(30))
        is_stopped = number % 3 == 0
        steps = {int(generator.choice((10, 20))): score} if is_stopped and number else {}
        study.add_trial(
            optuna.trial.create_trial(
                params={name: generator.choice(each) for name, each in DOMAIN.options.items()},
                distributions=SAMPLER.distributions,
                value=score,
                state=TrialState.PRUNED if is_stopped else TrialState.COMPLETE,
                intermediate_values=steps,
            )
        )
    return study


@pytest.mark.parametrize("num_complete", [MANY, 20])  # fewer than are good, so that pruned ones are
def test_the_good_ones_are_those_among_all(study, num_complete, monkeypatch):
    monkeypatch.setattr(optuna_samplers, "MAX_CONSIDERED", 60)
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE][:num_complete]
    trials = [t for t in trials if t.state == TrialState.PRUNED or t in complete]
    kept = Considered().among(trials)
    good, others = _split_trials(study, trials, 25)
    assert kept == sorted(good + others[-35:], key=lambda trial: trial.number)
    assert _split_trials(study, kept, 25)[0] == good


def test_trials_that_arrive_in_parts_are_those_at_once(study, monkeypatch):
    monkeypatch.setattr(optuna_samplers, "MAX_CONSIDERED", 60)
    trials = study.get_trials(deepcopy=False)
    known = Considered()
    # From 90 to 70: a study that went back. `_split_trials` is Optuna's own choice.
    for number in (0, 1, 24, 26, 59, 61, 61, 90, 70, MANY):
        good, others = _split_trials(study, trials[:number], 25)
        among = good + (others[-35:] if number > 60 else others)
        assert known.among(trials[:number]) == sorted(among, key=lambda trial: trial.number)
    other = [copy(trial) for trial in trials]
    for trial in other:
        trial.values = [-trial.values[0]]
    good, others = _split_trials(study, other, 25)
    assert known.among(other) == sorted(good + others[-35:], key=lambda trial: trial.number)


def test_up_to_the_bound_all_are_considered(study, monkeypatch):
    trials = study.get_trials(deepcopy=False)
    monkeypatch.setattr(optuna_samplers, "MAX_CONSIDERED", MANY)
    assert Considered().among(trials) == trials


def test_a_proposal_is_that_of_optuna_given_what_is_considered(study, monkeypatch):
    monkeypatch.setattr(optuna_samplers, "MAX_CONSIDERED", 60)
    fewer = optuna.create_study(direction="maximize")
    fewer.add_trials(Considered().among(study.get_trials(deepcopy=False)))
    assert len(fewer.trials) == 60
    trial = study.trials[-1]
    inners = [SAMPLER.inner(SAMPLER.number_for(trial, 1)) for _ in range(2)]
    of_fewer, of_all = (
        DOMAIN.decode(inner.sample_relative(each, trial, SAMPLER.distributions))
        for inner, each in zip(inners, (fewer, study), strict=True)
    )
    assert SAMPLER.propose(study, trial, torch.Generator()) == of_fewer != of_all
