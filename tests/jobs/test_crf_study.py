"""The search for parameters: stock first, seeded, and the same however often it is stopped."""

import math
from dataclasses import asdict

import pytest

from autoseg.crf import STOCK
from autoseg.jobs.crf_study import RANGES, CRFStudy


def open_study(tmp_path, name="a", seed=3):
    return CRFStudy(tmp_path / "trials", name=name, seed=seed, mode="fast")


def planted(parameters):
    """A score whose optimum is known: bilateral_weight 1, spatial_weight 0.5."""
    first = math.log(parameters.bilateral_weight)
    second = math.log(parameters.spatial_weight / 0.5)
    return 1 - 0.05 * (first**2 + second**2)


class Killed(Exception):
    pass


def killed(parameters):
    raise Killed


def test_stock_parameters_come_first_and_lie_in_the_ranges(tmp_path):
    study = open_study(tmp_path)
    for _ in range(3):
        study.step(planted, STOCK)
    trials = study.trials
    assert [trial.name for trial in trials] == [*STOCK, ""]
    assert [trial.parameters for trial in trials[:2]] == list(STOCK.values())
    assert [trial.mean_iou for trial in trials] == [planted(t.parameters) for t in trials]
    for trial in trials:
        for name, each in RANGES.items():
            assert each.low <= asdict(trial.parameters)[name] <= each.high


def test_a_study_that_is_killed_goes_on_as_if_it_had_not_been(tmp_path):
    whole = open_study(tmp_path, "whole")
    for _ in range(16):
        whole.step(planted, STOCK)
    for number in range(16):
        study = open_study(tmp_path, "stopped")  # as a new process opens it
        if number % 3 == 1:
            with pytest.raises(Killed):
                study.step(killed, STOCK)
        if number % 5 == 2:
            study._study.ask(dict(RANGES))  # a kill leaves a trial that runs for ever
            study = open_study(tmp_path, "stopped")
        study.step(planted, STOCK)
    assert open_study(tmp_path, "stopped").trials == whole.trials


def test_a_planted_optimum_is_approached(tmp_path):
    study = open_study(tmp_path)
    for _ in range(50):
        study.step(planted, STOCK)
    best = max(trial.mean_iou for trial in study.trials)
    assert best > 0.99
    assert best > max(planted(parameters) for parameters in STOCK.values()) + 0.05


def test_seeds_differ(tmp_path):
    values = []
    for seed in (1, 2):
        study = open_study(tmp_path, f"seed {seed}", seed=seed)
        values.append([study.step(planted, {}).parameters.bilateral_weight for _ in range(2)])
    assert values[0] != values[1]
    assert values[0][0] != values[0][1]


def test_a_lock_that_a_kill_left_does_not_stop_the_next_process(tmp_path):
    (tmp_path / "trials.lock").symlink_to(tmp_path / "trials")
    study = open_study(tmp_path)
    assert study.step(planted, STOCK).name == "DeepLab"
