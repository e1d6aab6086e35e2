"""Which samples go on: against Optuna's pruner, Hyperband's table, and a race that is simulated."""

import math
import random

import optuna
import pytest

from autoseg.proposers import (
    ArchitectureDomain,
    Course,
    EvolutionSampler,
    Pruner,
    RandomSampler,
    Study,
    TPESampler,
    rungs_between,
)
from tests.proposers.domains import SPACE

DOMAIN = ArchitectureDomain(SPACE)


@pytest.mark.parametrize(
    ("first", "last", "eta", "rungs"),
    [
        (1, 27, 3, (1, 3, 9, 27)),
        (10, 100, 3, (10, 30, 100)),  # 90 would be no saving
        (11, 100, 3, (11, 33, 100)),
        (2, 4, 2, (2, 4)),
        (3, 8, 3, (8,)),
    ],
)
def test_rungs_are_powers_of_the_factor_and_the_end(first, last, eta, rungs):
    assert rungs_between(first, last, eta) == rungs


@pytest.mark.parametrize("eta", [2, 3, 4])
def test_it_stops_the_same_samples_as_optunas_pruner(eta):
    pruner = Pruner(rungs=tuple(2 * eta**k for k in range(4)), reduction_factor=eta)
    theirs = optuna.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=eta)
    study = optuna.create_study(direction="maximize", pruner=theirs)
    generator, courses, num_reached = random.Random(eta), [], [0] * 4
    for _ in range(150):
        trial, scores = study.ask(), {}
        for place, rung in enumerate(pruner.rungs):
            scores[rung] = generator.randrange(20) / 20  # with ties
            num_reached[place] += 1
            trial.report(scores[rung], rung)
            if place == 3:
                break
            goes_on = pruner.goes_on(scores[rung], rung, bracket=0, others=courses)
            assert goes_on == (not trial.should_prune())
            # And by the definition: fewer than n / eta, or none, are better.
            others = [course.scores[rung] for course in courses if rung in course.scores]
            num_better = sum(other > scores[rung] for other in others)
            assert goes_on == (num_better < max(1, (len(others) + 1) // eta))
            if not goes_on:
                break
        courses.append(Course(scores=scores, is_pruned=len(scores) < 4))
        study.tell(trial, scores[max(scores)])
    assert num_reached[0] == 150 > num_reached[1] > num_reached[2] > num_reached[3] > 0


def test_hyperbands_brackets_have_the_sizes_of_its_paper():
    # Table 1 there: R = 81, eta = 3; n = 81, 34, 15, 8, 5 (algorithm 1 rounds up).
    pruner = Pruner(rungs=(1, 3, 9, 27, 81), reduction_factor=3, num_brackets=5)
    sizes = [math.ceil(5 * 3**s / (s + 1)) for s in (4, 3, 2, 1, 0)]
    assert sizes == [81, 34, 15, 8, 5]
    brackets = [pruner.bracket_of(number) for number in range(2 * sum(sizes))]
    assert [brackets[: sum(sizes)].count(each) for each in range(5)] == sizes
    assert brackets[sum(sizes) :] == brackets[: sum(sizes)]
    assert set(brackets[:20]) == {0, 1, 2, 3, 4}  # none waits for the others
    assert [pruner.rungs_in(each)[0] for each in range(5)] == [1, 3, 9, 27, 81]


def test_samples_are_compared_within_their_bracket_alone():
    pruner = Pruner(rungs=(1, 2, 4), reduction_factor=2, num_brackets=3)
    others = [None, Course(scores={1: 0.9, 2: 0.9}, bracket=0), Course(scores={2: 0.1}, bracket=1)]
    assert not pruner.goes_on(0.5, 2, bracket=0, others=others)
    assert pruner.goes_on(0.5, 2, bracket=1, others=others)
    assert not pruner.goes_on(math.nan, 2, bracket=1, others=others)


def raced(pruner, *, seed, num_steps=2_700, num_arms=120):
    """Spend steps on arms whose scores rise with training; return whether the best was kept."""
    generator = random.Random(seed)
    worth = [generator.random() for _ in range(num_arms)]
    order = generator.sample(range(num_arms), num_arms)
    courses, kept = [], (0, 0.0, None)
    for arm in order:
        scores, done = {}, 0
        for rung in pruner.rungs:
            if num_steps < rung - done:
                return kept[2] == max(range(num_arms), key=worth.__getitem__)
            num_steps, done = num_steps - (rung - done), rung
            noise = generator.gauss(0, 0.05 / rung**0.5)
            scores[rung] = worth[arm] * (1 - math.exp(-rung / 20)) + noise
            kept = max(kept, (rung, scores[rung], arm))
            if rung < pruner.rungs[-1] and not pruner.goes_on(
                scores[rung], rung, bracket=0, others=courses
            ):
                break
        courses.append(Course(scores=scores))
    return kept[2] == max(range(num_arms), key=worth.__getitem__)


def test_halving_finds_the_best_more_often_at_equal_steps():
    halving, none = (
        Pruner(rungs=rungs, reduction_factor=3) for rungs in (rungs_between(10, 90, 3), (90,))
    )
    found = [sum(raced(each, seed=seed) for seed in range(60)) for each in (halving, none)]
    assert found[0] >= 2 * found[1] > 0, found


def pruned_study(sampler, path=None):
    study = Study(sampler, journal=path)
    generator = random.Random(1)
    for number in range(12):
        value = study.propose()
        if number % 3:
            study.add(value, (0.5,), course=Course(scores={1: 0.5}, is_pruned=True, bracket=1))
        else:
            score = generator.random() / 2
            study.add(value, (score,), course=Course(scores={1: 0.1, 3: score}))
    return study


def test_the_journal_has_the_course_of_each_sample_and_optuna_reads_it(tmp_path):
    path = tmp_path / "trials.journal"
    with pruned_study(RandomSampler(DOMAIN, seed=(0,)), path) as study:
        trials, bookmark = list(study.trials), study.bookmark
    with Study(RandomSampler(DOMAIN, seed=(0,)), journal=path) as again:
        again.go_back(bookmark)
        assert again.trials == trials
    # The one with the best score was stopped, and is below all that were not.
    best = max(trials, key=lambda trial: trial.merit)
    assert (best.course.num_steps, best.course.is_pruned) == (3, False)
    assert trials[1].scores > best.scores
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    theirs = optuna.load_study(study_name="search", storage=storage).trials
    assert [trial.state.name for trial in theirs[:2]] == ["COMPLETE", "PRUNED"]
    assert theirs[1].intermediate_values == {1: 0.5}


def test_evolution_breeds_from_what_was_trained_for_longest():
    sampler = EvolutionSampler(DOMAIN, seed=(0,), population_size=3, tournament_size=50)
    study = pruned_study(sampler)
    parent, child = study.trials[9], study.propose()  # the only one of the last three to the end
    assert parent.course.num_steps == 3
    differences = DOMAIN.encode(parent.value).items() - DOMAIN.encode(child).items()
    assert len(differences) == 1


def test_tpe_counts_stopped_samples_among_those_that_it_learns_from():
    study = pruned_study(TPESampler(DOMAIN, seed=(0,), num_random=12))
    drawn = pruned_study(TPESampler(DOMAIN, seed=(0,), num_random=13))
    assert study.trials == drawn.trials
    assert study.propose() != drawn.propose()
