"""SIGTERM to whole commands: each goes on as it says, and ends as one that was never stopped."""

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.signalled import run_signalled
from tests.trained.random_run import make_run

ROOT = Path(__file__).parents[2]
PYTHON = [sys.executable]
PROGRAMS = {"python": PYTHON, "torchrun": [*PYTHON, "-m", "torch.distributed.run"]}

pytestmark = pytest.mark.nightly


@pytest.fixture
def killed_runs(monkeypatch):
    """The smallest jobs of all kinds, and what must be equal in their folders."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    jobs = importlib.import_module("killed_runs.jobs")
    outcomes = importlib.import_module("killed_runs.outcomes")

    def differences(*folders):
        """Name the files in which runs differ, but for checkpoints before the newest one."""
        found = []
        for folder in folders:
            older = set(folder.rglob("checkpoint-*.pt"))
            for place in {path.parent for path in older}:
                older.remove(max(place.glob("checkpoint-*.pt")))
            names = {path.relative_to(folder).as_posix() for path in older}
            outcome = outcomes.outcome(folder).items()
            found.append({name: value for name, value in outcome if name not in names})
        return outcomes.differences(*found)

    return SimpleNamespace(jobs=jobs.jobs(), prepare=jobs.prepare, differences=differences)


def run_line(line, folder):
    """Run a command line as a user types it; return what it says on standard output."""
    program, *words = shlex.split(line)
    done = subprocess.run(
        [*PROGRAMS[program], *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def stop(module, words, folder, *, num_steps, num_processes=1):
    """Run a command that SIGTERM stops; return the line that it says to go on with."""
    ended = run_signalled(
        module, words, folder=folder, num_steps=num_steps, num_processes=num_processes
    )
    assert "SIGTERM: stopping after this step" in ended.stderr, ended.stderr
    # torchrun has an exit code of its own, which is not 0.
    assert ended.returncode == 130 if num_processes == 1 else ended.returncode, ended.stderr
    (line,) = re.findall(r"^stopped.* Go on[^:]*: (.*)$", ended.stdout, re.MULTILINE)
    return line


@pytest.mark.parametrize(
    ("name", "num_processes", "num_steps"),
    [
        ("darts", 1, 7),
        ("darts", 2, 7),
        ("evolution", 1, 5),
        ("retraining", 1, 3),
        ("retraining", 2, 3),
    ],
)
def test_a_run_ends_as_one_that_never_stopped(
    killed_runs, tmp_path, name, num_processes, num_steps
):
    job = killed_runs.jobs[name]
    program = "python" if num_processes == 1 else f"torchrun --nproc-per-node {num_processes}"
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for folder in (whole, stopped):
        folder.mkdir()
        killed_runs.prepare(folder)
    run_line(shlex.join([*program.split(), "-m", job.module, *job.arguments]), whole)
    line = stop(
        job.module, job.arguments, stopped, num_steps=num_steps, num_processes=num_processes
    )
    assert line.startswith(f"{program} -m {job.module} --resume --out run")
    assert killed_runs.differences(whole / "run", stopped / "run")
    run_line(line, stopped)
    assert killed_runs.differences(whole / "run", stopped / "run") == []


def test_a_tuning_ends_as_one_that_never_stopped(killed_runs, tmp_path):
    words = ["crf", "run", "--num-images", "1", "--num-trials", "5", "--device", "cpu"]
    for name in ("whole", "stopped"):
        make_run(tmp_path / name / "run")
    run_line(shlex.join(["python", "-m", "autoseg.tune", *words]), tmp_path / "whole")
    line = stop("autoseg.tune", words, tmp_path / "stopped", num_steps=3)
    run_line(line, tmp_path / "stopped")
    assert killed_runs.differences(tmp_path / "whole/run", tmp_path / "stopped/run") == []


def test_a_comparison_leaves_nothing_and_begins_anew(killed_runs, tmp_path):
    make_run(tmp_path / "run")
    words = ["run", "--out", "out", "--limit", "2", "--min-runs", "1", "--min-seconds", "0.01"]
    words += ["--device", "cpu"]
    ended = run_signalled("autoseg.compare", words, folder=tmp_path)
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr.endswith("interrupted.\n")
    assert not list(tmp_path.glob("out/*"))
    assert "report.html" in run_line(
        shlex.join(["python", "-m", "autoseg.compare", *words]), tmp_path
    )
