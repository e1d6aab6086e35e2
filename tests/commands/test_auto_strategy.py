"""A search that names no strategy: short trainings where they were compared, DARTS elsewhere."""

import pytest
import torch

from autoseg.commands import auto_strategy
from autoseg.commands.auto_strategy import choose_strategy
from autoseg.errors import UsageError
from autoseg.requests import SearchRequest
from autoseg.strategies import STRATEGIES

CPU = torch.device("cpu")


def test_short_trainings_are_the_default():
    choice = choose_strategy(SearchRequest(), CPU)
    assert choice.strategy == "random"
    assert "random with --pruner halving" in choice.words
    request = SearchRequest().with_values(strategy="random").with_defaults(**choice.settings)
    assert request.pruner == "halving"
    assert (request.arch_steps, request.min_steps, request.sample_steps) == (2400, 50, 400)
    assert set(choice.settings) <= STRATEGIES["random"].settings(request)


@pytest.mark.parametrize("end", [{"budget": "10m"}, {"arch_steps": 1600}, {"num_samples": 3}])
def test_what_the_user_says_of_the_end_stays(end):
    request = SearchRequest(**end, sample_steps=200)
    choice = choose_strategy(request, CPU)
    assert choice.strategy == "random"
    request = request.with_defaults(**choice.settings)
    assert (request.sample_steps, request.min_steps) == (200, 50)
    name, value = next(iter(end.items()))
    assert getattr(request, name) == value
    assert request.arch_steps == end.get("arch_steps", 0)


@pytest.mark.parametrize(
    ("given", "device", "reason"),
    [
        ({}, "cuda", "in small sizes on a CPU alone"),
        ({"preset": "paper"}, "cpu", "in small sizes on a CPU alone"),
        ({"space": "robust_s4"}, "cpu", "not compared with it on cells alone"),
        ({"estimator": "macs"}, "cpu", "--estimator macs is none for short trainings"),
        ({"num_epochs": 4, "arch_lr": 0.1}, "cpu", "do not read --arch-lr and --num-epochs"),
        ({"arch_steps": 1599}, "cpu", "need 1,600 --arch-steps"),
        ({"budget": "119s"}, "cpu", "need a --budget of 120s"),
    ],
)
def test_darts_is_taken_elsewhere_and_why_is_said(given, device, reason):
    choice = choose_strategy(SearchRequest(**given), torch.device(device))
    assert (choice.strategy, choice.settings) == ("darts", {})
    assert choice.words.startswith("darts, as ") and reason in choice.words


def test_several_processes_take_what_they_can_share(monkeypatch):
    monkeypatch.setattr(auto_strategy, "num_processes", lambda: 2)
    assert choose_strategy(SearchRequest(), CPU).strategy == "darts"


def test_a_name_is_taken_as_it_is_and_an_unknown_one_refused():
    choice = choose_strategy(SearchRequest(strategy="gumbel"), CPU)
    assert (choice.strategy, choice.settings, choice.words) == ("gumbel", {}, "")
    with pytest.raises(UsageError, match="auto"):
        choose_strategy(SearchRequest(strategy="autoo"), CPU)
