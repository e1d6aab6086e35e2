"""The benchmark of a selection's cost: which steps are the search's, and which the selection's."""

import dataclasses
import importlib
from pathlib import Path

import pytest

from tests.strategies.contract import task_of

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("selection_cost")


def test_a_selection_is_told_from_the_search_before_it(bench, monkeypatch):
    # A step of the search is a second, a choice or a step of its weights two.
    task = task_of("darts")
    num_steps = bench.DartsSearch(task).num_steps
    times = iter([1.0] * num_steps + [2.0] * 1000)
    monkeypatch.setattr(bench, "_seconds", lambda work: (work(), next(times))[1])
    search, selection = bench.measure(task)
    config = dataclasses.replace(task.config, selection="perturbation")
    both = bench.DartsSearch(dataclasses.replace(task, config=config)).num_steps
    assert (search.num_steps, search.processor_s) == (num_steps, num_steps)
    assert (selection.num_steps, selection.processor_s) == (
        both - num_steps,
        2 * (both - num_steps),
    )
    assert selection.share == 2 * (both - num_steps) / num_steps
