"""Which strategy is taken where none is named, and with which settings."""

import pytest
import torch

from autoseg.cli import read_request
from autoseg.commands import default_strategy, search
from autoseg.commands.default_strategy import choose_strategy, strategy_settings
from autoseg.config import PREDICTOR_SETTINGS
from autoseg.requests import SearchRequest


def chosen(*words, size="tiny", has_path=True):
    request = read_request(SearchRequest, list(words), prog="search", description="", example="")
    return choose_strategy(request, size=size, has_path=has_path)


@pytest.mark.parametrize(
    ("words", "size", "has_path", "expected"),
    [
        ((), "tiny", True, "predictor by speed"),
        ((), None, True, "predictor by speed"),
        ((), "paper", True, "darts by short"),
        ((), "tiny", False, "darts by short"),
        (("--budget", "1h"), "tiny", True, "predictor by speed"),
        (("--num-epochs", "4"), "tiny", True, "darts by short"),
        (("--selection", "perturbation"), "tiny", True, "darts by short"),
        (("--num-samples", "40"), "paper", True, "predictor by speed"),
        (("--population-size", "40"), "tiny", False, "predictor by speed"),
        (("--val-images", "64", "--pruner", "halving"), "tiny", True, "predictor by short"),
        (("--estimator", "nwot"), "tiny", True, "predictor by nwot"),
        (("--strategy", "predictor"), "paper", False, "predictor by speed"),
        (("--strategy", "predictor", "--pruner", "halving"), "tiny", True, "predictor by short"),
        (("--strategy", "tpe"), "tiny", True, "tpe by short"),
        (("--strategy", "darts"), "tiny", True, "darts by short"),
    ],
)
def test_options_decide_and_then_size_and_space(words, size, has_path, expected):
    request = chosen(*words, size=size, has_path=has_path)
    assert f"{request.strategy} by {request.estimator}" == expected
    assert choose_strategy(request, size=size, has_path=has_path) == request


def test_several_processes_share_darts(monkeypatch):
    monkeypatch.setattr(default_strategy, "num_processes", lambda: 2)
    assert chosen().strategy == "darts"


def test_the_settings_that_were_compared_are_those_of_the_tiny_sizes():
    assert strategy_settings(chosen(), size="tiny") == PREDICTOR_SETTINGS
    by_name = chosen("--strategy", "predictor")
    assert strategy_settings(by_name, size="paper") == {"estimator": "speed"}
    for words in (("--strategy", "darts"), ("--estimator", "nwot"), ("--strategy", "tpe")):
        assert strategy_settings(chosen(*words), size="tiny") == {}


def test_what_is_given_stays_as_given():
    request = chosen("--num-samples", "3", "--population-size", "2")
    assert (request.strategy, request.estimator) == ("predictor", "speed")
    assert (request.num_samples, request.population_size, request.sample_steps) == (3, 2, 75)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), ("predictor", "speed", 34, 75, 16)),
        (("--num-samples", "3"), ("predictor", "speed", 3, 75, 16)),
        (("--val-images", "2"), ("predictor", "short", 8, 100, 4)),  # the preset's own
        (("--strategy", "tpe"), ("tpe", "short", 8, 100, 4)),
    ],
)
def test_a_plan_has_them_in_place_of_the_presets(words, expected):
    small = ["--image-size", "64", "64", "--train-length", "8", "--batch-size", "2"]
    request = read_request(
        SearchRequest, [*words, *small], prog="search", description="", example=""
    )
    planned = search._plan(request, torch.device("cpu")).request
    names = ("strategy", "estimator", "num_samples", "sample_steps", "population_size")
    assert tuple(getattr(planned, name) for name in names) == expected
