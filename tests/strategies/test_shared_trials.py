"""Searches that share their trials: what a kill leaves in the database is tried again, once."""

import shutil
from fractions import Fraction
from unittest import mock

from autoseg.proposers import Course
from autoseg.runs import Run
from tests.strategies import contract
from tests.strategies.test_estimator import drawn
from tests.training.test_loop import metrics

URL = "sqlite:///trials.db"


def search_of(name, **changes):
    return contract.strategy_of(name)(contract.task_of(name, storage=URL, **changes))


def test_a_search_that_is_killed_before_it_saved_ends_as_one_that_was_not(tmp_path, monkeypatch):
    whole, *killed = folders = [tmp_path / name for name in ("whole", "first", "second")]
    save, left = Run.save_checkpoint, list(killed)

    def save_watched(run, *args, **options):
        # What is on the disk is all that a kill leaves, so the folder is copied before each save.
        if left and metrics(run.folder):
            shutil.copytree(whole, left.pop(0))
        return save(run, *args, **options)

    monkeypatch.setattr(Run, "save_checkpoint", save_watched)
    found = []
    for folder in folders:
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        result = contract.run_search("random", folder / "run", storage=URL, estimator="parameters")
        with search_of("random", estimator="parameters") as strategy:
            found.append((result, metrics(folder / "run"), list(strategy.study.trials)))
    assert [each == found[0] for each in found] == [True] * 3


def test_a_sample_that_is_tried_again_is_not_compared_with_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with search_of("random by halving") as strategy:
        saved = strategy.state_dict()
        while not strategy.estimator.is_trained:  # alone, it is trained to the end
            strategy.step(0, Fraction(0))
        line = strategy.end_round(4, Fraction(1, 2), phase=mock.MagicMock()).line
        score = line["rungs"]["1"]
        for value, other in ((drawn(1), score + 1), (drawn(2), score - 1)):
            strategy.study.add(value, (other,), course=Course({1: other}))
    with search_of("random by halving") as strategy:
        strategy.load_state_dict(saved)
        strategy.step(0, Fraction(0))
        # The second of three, of which one half goes on; of four it would go on.
        assert strategy.estimator.is_trained
        assert len(strategy.study.trials) == 3
