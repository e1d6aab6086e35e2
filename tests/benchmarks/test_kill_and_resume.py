"""`python benchmarks/kill_and_resume.py`: moments are where they are said, and a fault is seen."""

import importlib
import json
import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from autoseg.errors import UsageError
from autoseg.runs import Run

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    """The benchmark: the command, and its parts as attributes."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    parts = ("outcomes", "processes")
    modules = {name: importlib.import_module(f"killed_runs.{name}") for name in parts}
    return SimpleNamespace(command=importlib.import_module("kill_and_resume"), **modules)


def test_every_kind_of_file_is_as_likely(bench, tmp_path):
    written, line = bench.processes.WRITTEN, bench.processes.LINE
    names = [(written, "run.json"), *[(written, "a.png")] * 98, (line, "metrics.jsonl")]
    events = [bench.processes.Event(*each) for each in names]
    draw_kill = bench.command.draw_kill
    ended = bench.processes.Ended(code=0, cpu_seconds=10.0)
    reference = bench.command.Reference(folder=tmp_path, outcome={}, events=events, ended=ended)
    drawn = [draw_kill(random.Random(seed), 1, reference)[0].event for seed in range(300)]
    counts = [drawn.count(0), sum(0 < event < 99 for event in drawn), drawn.count(99)]
    assert sum(counts) == 300 and min(counts) > 70
    early = [draw_kill(random.Random(seed), 0, reference)[0].cpu_seconds for seed in range(300)]
    assert 4.5 < sum(early) / 300 < 5.5 and max(early) < 10


def test_any_difference_is_named(bench, tmp_path):
    outcome, differences = bench.outcomes.outcome, bench.outcomes.differences

    def make(name, loss):
        with Run.create(tmp_path / name, kind="x", command=["x"], config={}, seed=0) as run:
            run.log(step=1, loss=loss)
            run.finish()
        return outcome(tmp_path / name)

    whole = make("whole", 0.5)
    assert differences(whole, make("same", 0.5)) == []
    assert differences(whole, make("other", 0.5000001)) == ["metrics.jsonl"]
    (tmp_path / "same" / ".a.tmp").touch()
    assert differences(whole, outcome(tmp_path / "same")) == [".a.tmp"]


def test_bad_requests_are_told_what_to_do(bench):
    with pytest.raises(UsageError, match="unknown job 'serch'; known: search, retraining, tuning"):
        bench.command.KillRequest(jobs=("serch",))
    with pytest.raises(UsageError, match="--num-kills is 0; it must be at least 1"):
        bench.command.KillRequest(num_kills=0)


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_killed_runs_end_as_those_that_were_not(bench, tmp_path, capsys):
    arguments = ["--jobs", "retraining", "tuning", "--num-kills", "2", "--out", str(tmp_path)]
    assert bench.command.main(arguments) == 0
    rows = json.loads((tmp_path / "kill_and_resume.json").read_text())["rows"]
    assert [row["is_in_save"] for row in rows] == [False, True] * 2
    assert "4 of 4 equal" in capsys.readouterr().out
    assert bench.command.main(arguments) == 0  # nothing is done again
