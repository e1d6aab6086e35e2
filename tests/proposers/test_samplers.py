"""What is tried next: each sampler by its rule, worked by hand or enumerated."""

import dataclasses

import pytest
import torch

from autoseg.proposers import (
    ArchitectureDomain,
    EvolutionSampler,
    NSGA2Sampler,
    PredictorSampler,
    RandomSampler,
    Study,
    TPESampler,
)
from tests.proposers.domains import SPACE, every_architecture, planted
from tests.proposers.test_architectures import num_differences

DOMAIN = ArchitectureDomain(SPACE)
SAMPLERS = {
    "random": lambda domain, seed: RandomSampler(domain, seed=(seed,)),
    "evolution": lambda domain, seed: EvolutionSampler(
        domain, seed=(seed,), population_size=4, tournament_size=4
    ),
    "tpe": lambda domain, seed: TPESampler(domain, seed=(seed,), num_random=4),
    "predictor": lambda domain, seed: PredictorSampler(domain, seed=(seed,), num_random=4),
    "nsga2": lambda domain, seed: NSGA2Sampler(domain, seed=(seed,), population_size=4),
}


def try_some(study, score, number):
    """Try so many architectures; a second score is the number of layers at the finest stride."""
    for _ in range(number):
        value = study.propose()
        costs = [float(value.path.count(4))] * (study.sampler.num_objectives - 1)
        study.add(value, (score(value), *costs))
    return [trial.value for trial in study.trials]


@pytest.mark.parametrize("name", SAMPLERS)
def test_nothing_is_tried_twice_until_all_is_tried(name):
    small = dataclasses.replace(SPACE, num_layers=2, num_nodes=1, operations=("skip_connect",))
    members = every_architecture(small)
    assert len(members) == 5
    _, score = planted(small, 0)
    study = Study(SAMPLERS[name](ArchitectureDomain(small), 1))
    tried = try_some(study, score, 7)
    assert set(tried[:5]) == set(members)
    assert set(tried[5:]) <= set(members)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_proposal_is_a_function_of_seed_and_trials(name):
    _, score = planted(SPACE, 0)
    once, again, other = (Study(SAMPLERS[name](DOMAIN, seed)) for seed in (1, 1, 2))
    tried = try_some(once, score, 12)
    assert once.propose() == once.propose()
    # Trials that were made elsewhere, here by hand, count like those that it asked for.
    for value in tried[:11]:
        trial = next(each for each in once.trials if each.value == value)
        again.add(value, trial.scores)
    assert again.propose() == tried[11]
    assert try_some(other, score, 12) != tried


def test_random_draws_what_the_space_draws_uniformly():
    # A chi-squared statistic over the 22 paths, below its 99.9 % quantile for 21 degrees.
    _, score = planted(SPACE, 0)
    study = Study(SAMPLERS["random"](DOMAIN, 0))
    paths = [value.path for value in try_some(study, score, 330)]
    num_paths = SPACE.num_paths()
    expected = len(paths) / num_paths
    counts = [paths.count(path) for path in set(paths)]
    assert len(counts) == num_paths
    assert sum((count - expected) ** 2 / expected for count in counts) < 46.8


def test_evolution_mutates_the_best_of_the_last_and_the_oldest_dies():
    # A tournament of many draws holds the whole population: the parent is its best.
    sampler = EvolutionSampler(DOMAIN, seed=(0,), population_size=3, tournament_size=60)
    study = Study(sampler)
    values = try_some(study, lambda value: 0.0, 3)  # drawn at random
    scores = [0.0, 0.0, 0.0]
    for score in (0.9, 0.1, 0.2, 0.3, 0.4):
        # A population by hand: it loses its oldest whenever one enters.
        population = list(zip(values, scores, strict=True))[-3:]
        best = max(score for _, score in population)
        parents = [value for value, each in population if each == best]
        value = study.propose()
        assert min(num_differences(parent, value) for parent in parents) == 1
        study.add(value, (score,))
        values.append(value)
        scores.append(score)
        # One that failed never enters.
        study.add(DOMAIN.mutate(value, torch.Generator()), None, failure="diverged")
