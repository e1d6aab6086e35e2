"""`python benchmarks/kill_and_resume.py`: moments are where they are said, and a fault is seen."""

import dataclasses
import importlib
import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest

from autoseg.config import EstimatorName, PrunerName
from autoseg.errors import UsageError
from autoseg.runs import Run
from autoseg.strategies import STRATEGIES

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    """The benchmark: the command, and its parts as attributes."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    parts = ("jobs", "outcomes", "processes", "report")
    modules = {name: importlib.import_module(f"killed_runs.{name}") for name in parts}
    return SimpleNamespace(command=importlib.import_module("kill_and_resume"), **modules)


def test_every_kind_of_file_is_as_likely(bench, tmp_path):
    written, line = bench.processes.WRITTEN, bench.processes.LINE
    pictures = [(written, f"{number}.png") for number in range(98)]
    names = [(written, "run.json"), *pictures, (line, "metrics.jsonl")]
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


def test_a_row_of_a_database_that_differs_is_seen(bench, tmp_path):
    def make(name, score, day):
        (tmp_path / name).mkdir()
        with closing(sqlite3.connect(tmp_path / name / "trials.db")) as database:
            database.execute("CREATE TABLE trials (score REAL, datetime_start TEXT)")
            database.execute("INSERT INTO trials VALUES (?, ?)", (score, day))
            database.commit()
        return bench.outcomes.outcome(tmp_path / name)

    whole = make("whole", 0.1, "Monday")
    assert bench.outcomes.differences(whole, make("later", 0.1, "Tuesday")) == []
    other = make("other", 0.1 + 2**-56, "Monday")
    assert bench.outcomes.differences(whole, other) == ["trials.db"]


def test_every_strategy_estimator_and_pruner_is_a_job(bench, monkeypatch):
    monkeypatch.setitem(STRATEGIES, "of a user", STRATEGIES["random"])
    given = {}
    for job in bench.jobs.jobs().values():
        for option, value in zip(job.words[::2], job.words[1::2], strict=True):
            given.setdefault(option, set()).add(value)
    assert given["--strategy"] == set(STRATEGIES)
    assert given["--estimator"] | {"short"} == set(get_args(EstimatorName))
    assert given["--pruner"] == set(get_args(PrunerName))
    assert given["--selection"] == {"perturbation"}


def test_rows_are_kept_of_jobs_that_are_the_same(bench, tmp_path):
    jobs, report = bench.jobs.jobs(), bench.report
    rows = [
        report.KillRow(
            job=name, number=0, moment="early", is_in_save=False, checkpoint_step=None,
            differing_files=("run.json",), num_irregular_lines=0,
        )
        for name in ("tuning", "darts", "storage")
    ]  # fmt: skip
    assert report.load_rows(tmp_path, jobs, seed=0) == []
    report.write_rows(tmp_path, rows, jobs, seed=0, calls=[])
    changed = {**jobs, "darts": dataclasses.replace(jobs["darts"], sizes=())}
    assert report.load_rows(tmp_path, jobs, seed=0) == [rows[1], rows[2], rows[0]]
    assert report.load_rows(tmp_path, changed, seed=0) == [rows[2], rows[0]]
    assert report.load_rows(tmp_path, jobs, seed=1) == []


def test_bad_requests_are_told_what_to_do(bench):
    with pytest.raises(UsageError, match="unknown job 'serch'; known: darts, darts2, gumbel"):
        bench.command.KillRequest(jobs=("serch",))
    with pytest.raises(UsageError, match="--num-kills is 0; it must be at least 1"):
        bench.command.KillRequest(num_kills=0)


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_killed_runs_end_as_those_that_were_not(bench, tmp_path, capsys):
    jobs = ["storage", "retraining", "tuning"]
    arguments = ["--jobs", *jobs, "--num-kills", "2", "--out", str(tmp_path)]
    assert bench.command.main(arguments) == 0
    rows = json.loads((tmp_path / "kill_and_resume.json").read_text())["rows"]
    assert [row["is_in_save"] for row in rows] == [False, True] * 3
    assert "6 of 6 equal" in capsys.readouterr().out
    assert bench.command.main(arguments) == 0  # nothing is done again
