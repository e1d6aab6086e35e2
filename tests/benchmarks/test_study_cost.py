"""The benchmark of studies: which are opened, and with how many trials."""

import importlib
import itertools
from pathlib import Path

import pytest

from autoseg.errors import UsageError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("study_cost")


@pytest.mark.parametrize(
    ("storage", "sizes"),
    [("journal", (3, 12)), pytest.param("sqlite", (12,), marks=pytest.mark.nightly)],
)
def test_each_strategy_opens_the_same_trials_and_adds_its_own(
    storage, sizes, bench, tmp_path, monkeypatch
):
    # Every look at the clocks is a second later.
    seconds = iter(map(float, range(1000)))
    monkeypatch.setattr(bench, "_now", lambda: (next(seconds), 0.0))
    monkeypatch.setattr(bench, "_since", lambda start: (next(seconds) - start[0], 0.5))
    request = bench.StudyRequest(trials=sizes, storages=(storage,), repeats=2)
    rows = list(bench.measure(tmp_path, request))
    assert [(row.num_trials, row.storage, row.strategy) for row in rows] == list(
        itertools.product(sizes, [storage], ("random", "evolution", "tpe"))
    )
    assert {(row.open_s, row.trial_ms, row.trial_processor_ms) for row in rows} == {(1, 1000, 500)}


def test_sizes_must_ascend_and_storages_be_known(bench):
    with pytest.raises(UsageError, match=r"^--trials is \(5, 3\); it must be ascending numbers"):
        bench.StudyRequest(trials=(5, 3))
    with pytest.raises(UsageError, match=r"^--storages has 'mysql', which is none of journal, sq"):
        bench.StudyRequest(storages=("mysql",))
