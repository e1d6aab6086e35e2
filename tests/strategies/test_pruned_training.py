"""Short trainings from rung to rung: the same weights and scores as trainings written out."""

from fractions import Fraction
from unittest import mock

import pytest

from autoseg.config import SearchConfig
from autoseg.errors import UsageError
from autoseg.evaluation import evaluate
from autoseg.strategies import STRATEGIES
from autoseg.strategies.estimator import Score
from autoseg.strategies.estimators import build_estimator
from autoseg.strategies.pruned_training import PrunedEstimator, pruner_of
from autoseg.strategies.short_training import ShortTraining
from autoseg.training import DivergedError, cosine
from tests.strategies import contract
from tests.strategies.test_estimator import drawn
from tests.training.test_loop import metrics

HALVING = "random by halving"  # rungs at 1, 2 and 4 steps


def rates(cycles):
    """Learning rates of all steps, without training."""
    task = contract.task_of("random", sample_steps=9, weight_lr=0.1, weight_lr_final=0.01)
    training = ShortTraining(task, drawn(0), cycles=cycles)
    found = []
    for training.num_done in range(9):
        found.append(training.learning_rate)
    return found


def test_each_rung_ends_a_cycle_of_the_learning_rate():
    expected = [
        cosine(step / length, initial=0.1, final=0.01)
        for length in (1, 2, 6)
        for step in range(length)
    ]
    assert rates((1, 3, 9)) == expected
    assert rates(()) == rates((9,)) == [cosine(n / 9, initial=0.1, final=0.01) for n in range(9)]


def test_a_rung_scores_the_network_and_leaves_its_training_alone():
    task = contract.task_of(HALVING, val_images=0, weight_lr=0.1)
    estimator = build_estimator(task, list)  # nothing to compare with: all go on
    plain, batches, scores = ShortTraining(task, drawn(1), cycles=(1, 2, 4)), task.batches("a"), {}
    for step in range(1, 5):
        estimator.step(drawn(1), Fraction(0))
        plain.step(next(batches))
        if step in (1, 2, 4):
            result = evaluate(
                plain.network, task.train_dataset, device="cpu", indices=task.half("b")
            )
            scores[step] = result.plain.mean_iou()
    assert estimator.is_trained
    assert not estimator.is_over
    score = estimator.score(drawn(1), 4, phase=mock.MagicMock())
    assert score.course.scores == scores
    assert (score.value, score.course.is_pruned) == (scores[4], False)
    assert len(set(scores.values())) > 1


def searched(folder, values, **changes):
    """Search with given scores, rung after rung; returns the result and the logged lines."""
    given = iter(values)
    with mock.patch.object(
        PrunedEstimator, "_validate", lambda *_: Score(next(given), num_averaged=12)
    ):
        result = contract.run_search(HALVING, folder, **changes)
    assert next(given, None) is None
    return result, metrics(folder)


SCORES = [0.5, 0.4, 0.3, 0.1, 0.6, 0.35]  # after 1, 2, 4 | 1 | 1, 2 steps


def test_a_sample_ends_where_it_falls_behind_and_metrics_say_so(tmp_path):
    result, lines = searched(tmp_path / "run", SCORES, arch_steps=7)
    assert [line["rungs"] for line in lines] == [
        {"1": 0.5, "2": 0.4, "4": 0.3},
        {"1": 0.1},
        {"1": 0.6, "2": 0.35},
    ]
    assert [line["trained_steps"] for line in lines] == [4, 1, 2]
    assert [line["is_pruned"] for line in lines] == [False, True, True]
    assert [line["score"] for line in lines] == [0.3, 0.1, 0.35]
    # The third has a higher score, after fewer steps.
    assert [line["best_sample"] for line in lines] == [1, 1, 1]
    assert result.architecture.to_dict() == lines[0]["architecture"]
    assert (result.step, result.rounds) == (7, 3)
    assert result.report.text.startswith(
        "3 architectures drawn at random and trained for 1 to 4 steps (--pruner halving): mIoU on "
        "trainB after 4 steps of 1 of them 0.3000 (sample 1).\n"
    )


@pytest.mark.parametrize(
    ("arch_steps", "num_scores", "trained"),
    [(6, 5, [4, 1, 1]), (5, 4, [4, 1]), (3, 2, [2])],  # at a rung that is passed; inside one
)
def test_at_the_end_of_the_budget_a_sample_keeps_its_last_rung(
    tmp_path, arch_steps, num_scores, trained
):
    result, lines = searched(tmp_path / "run", SCORES[:num_scores], arch_steps=arch_steps)
    assert [line["trained_steps"] for line in lines] == trained
    assert lines[-1]["is_pruned"]
    assert (result.step, result.rounds, result.is_finished) == (arch_steps, len(trained), True)
    assert contract.run_search(HALVING, tmp_path / "run", arch_steps=arch_steps) == result


def test_where_samples_are_counted_the_search_ends_with_the_last(tmp_path):
    changes = {"arch_steps": 0, "num_samples": 3}
    assert STRATEGIES["random"](contract.task_of(HALVING, **changes)).num_steps == 12
    result, lines = searched(tmp_path / "run", SCORES, **changes)
    assert (len(lines), result.step, result.is_finished) == (3, 7, True)
    assert contract.run_search(HALVING, tmp_path / "run", **changes) == result  # there is no more


def test_a_rung_that_cannot_be_scored_ends_its_sample_alone(tmp_path):
    whole = contract.run_search(HALVING, tmp_path / "whole")
    validate, calls = PrunedEstimator._validate, []

    def fails_second(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise DivergedError("the network's output holds NaN.")
        return validate(*arguments)

    with mock.patch.object(PrunedEstimator, "_validate", fails_second):
        result = contract.run_search(HALVING, tmp_path / "run")
    first, *others = metrics(tmp_path / "run")
    assert (first["failure"], first["score"]) == ("the network's output holds NaN.", None)
    assert first["architecture"] == metrics(tmp_path / "whole")[0]["architecture"]
    assert all(line["failure"] is None for line in others)
    assert result.step == whole.step == 10


@pytest.mark.parametrize(
    ("strategy", "changes", "rule"),
    [
        (
            "random",
            {"sample_steps": 5, "min_steps": 3},
            r"min_steps = 3, reduction_factor = 2 and sample_steps = 5: no sample would be scored "
            r"before its end, so that --pruner halving could stop none; use --sample-steps 6 or "
            r"more, or --min-steps 2 or fewer\.",
        ),
        ("nsga2", {}, r"pruner = halving, but nsga2 compares all samples by their scores, and one"),
    ],
)
def test_what_a_pruner_cannot_work_with_is_refused(strategy, changes, rule):
    with pytest.raises(UsageError, match=rule):
        STRATEGIES[strategy].check(contract.task_of(HALVING, **changes))


@pytest.mark.parametrize(
    ("settings", "rungs", "num_brackets"),
    [
        ({"sample_steps": 1500}, (166, 498, 1500), 1),  # paper
        ({"sample_steps": 100}, (11, 33, 100), 1),  # tiny
        ({"sample_steps": 100, "min_steps": 40, "reduction_factor": 2}, (40, 100), 1),
        ({"sample_steps": 81, "min_steps": 1, "pruner": "hyperband"}, (1, 3, 9, 27, 81), 5),
    ],
)
def test_rungs_come_from_the_settings(settings, rungs, num_brackets):
    pruner = pruner_of(SearchConfig(**({"pruner": "halving"} | settings)))
    assert (pruner.rungs, pruner.num_brackets) == (rungs, num_brackets)
