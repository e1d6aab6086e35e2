"""The benchmark that measures on a GPU in pieces: what runs, what is stopped, what goes on."""

import contextlib
import importlib
import io
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from autoseg.errors import UsageError
from tests.benchmarks.conftest import BENCHMARKS

PLACES = {
    "out": Path("results/gpu"),
    "runs": Path("runs/gpu"),
    "data_root": Path("camvid"),
    "device": "cpu",
    "search_budget": "8m",
    "num_steps": 10,
    "seeds": (0, 1),
}


@pytest.fixture
def on_gpu(monkeypatch):
    """The benchmark and its list of steps, as modules."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return SimpleNamespace(
        **{name: importlib.import_module(name) for name in ("on_gpu", "gpu_steps")}
    )


def call(on_gpu, monkeypatch, folder, steps, *options):
    """Run some steps in place of all."""
    monkeypatch.setattr(on_gpu.on_gpu, "all_steps", lambda places: steps)
    code = on_gpu.on_gpu.main(["--rehearsal", "--out", str(folder), *options])
    return code, json.loads((folder / "steps.json").read_text())["steps"]


@pytest.fixture
def time_is_over_once_begun(on_gpu, monkeypatch):
    """End the time of a call when its step has printed something, however slow this machine is."""

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, stdout, **options):
            super().__init__(*arguments, stdout=stdout, **options)
            self.log, self.is_over = Path(stdout.name), False

        def wait(self, timeout=None):
            if not self.is_over and "--resume" not in self.args:
                while not self.log.read_text():
                    time.sleep(0.01)
                self.is_over = True
                raise subprocess.TimeoutExpired(self.args, timeout)
            return super().wait(timeout)

    names = {"Popen": Popen, "STDOUT": subprocess.STDOUT}
    names |= {"TimeoutExpired": subprocess.TimeoutExpired}
    monkeypatch.setattr(on_gpu.on_gpu, "subprocess", SimpleNamespace(**names))


def python(on_gpu, name, code, *arguments, run=None):
    return on_gpu.gpu_steps.Step(name=name, arguments=("-c", code, *arguments), run=run)


def test_each_step_says_what_its_command_reads(on_gpu, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program"])
    places = on_gpu.gpu_steps.Places(**PLACES)
    steps = list(on_gpu.gpu_steps.all_steps(places))
    assert len({step.name for step in steps}) == len(steps)
    parsed = set()
    for step in steps:
        first, *rest = step.arguments
        if step.name == "tests":
            continue
        program = rest.pop(0) if first == "-m" else Path(first).stem
        for options in (rest, [*rest, *step.smaller]):
            # Reads all options, and runs nothing.
            with (
                contextlib.redirect_stdout(io.StringIO()) as said,
                pytest.raises(SystemExit) as end,
            ):
                importlib.import_module(program).main([*options, "--print-config"])
            assert end.value.code in (None, 0), step.name
            assert "device" in said.getvalue()
        parsed.add(program)
    assert {"search_step", "crf", "training_rate", "autoseg.retrain", "autoseg.compare"} <= parsed


def test_without_camvid_its_steps_are_left_out(on_gpu):
    places = on_gpu.gpu_steps.Places(**(PLACES | {"data_root": None}))
    names = [step.name for step in on_gpu.gpu_steps.all_steps(places)]
    assert names
    assert not [name for name in names if name.startswith(("camvid", "recipe"))]


def test_what_is_done_is_not_run_again_and_failures_come_last(on_gpu, monkeypatch, tmp_path):
    note = "import sys; open(sys.argv[1], 'a').write(sys.argv[2]); sys.exit(int(sys.argv[3]))"
    runs = tmp_path / "order"
    steps = [
        python(on_gpu, name, note, str(runs), name, code)
        for name, code in (("a", "1"), ("b", "0"), ("c", "0"))
    ]
    code, kept = call(on_gpu, monkeypatch, tmp_path, steps[:2])
    assert code == 1
    assert {name: step["state"] for name, step in kept.items()} == {"a": "failed", "b": "done"}
    call(on_gpu, monkeypatch, tmp_path, steps)
    assert runs.read_text() == "ab" + "ca"


@pytest.mark.usefixtures("time_is_over_once_begun")
def test_a_step_is_stopped_at_the_end_of_the_time_and_then_goes_on(on_gpu, monkeypatch, tmp_path):
    # Saves what it has when it is asked to end, as trainings do.
    code = (
        "import pathlib, signal, sys, time\n"
        "run = pathlib.Path(sys.argv[1])\n"
        "def save(*_): run.mkdir(); print('saved'); sys.exit(130)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "print('begun', flush=True)\n"
        "if '--resume' not in sys.argv: time.sleep(60)\n"
    )
    run = tmp_path / "run"
    steps = [python(on_gpu, "a", code, str(run), run=run)]
    exit_code, kept = call(on_gpu, monkeypatch, tmp_path, steps)
    assert exit_code == 130
    assert list(kept) == ["a"]
    assert kept["a"]["state"] == "stopped"
    assert (tmp_path / "logs" / "a.txt").read_text() == "begun\nsaved\n"
    exit_code, kept = call(on_gpu, monkeypatch, tmp_path, steps)
    assert exit_code == 0
    assert kept["a"]["command"].endswith("--resume")
    assert "done" in (tmp_path / "steps.md").read_text()


@pytest.mark.usefixtures("time_is_over_once_begun")
def test_a_step_that_does_not_end_is_killed(on_gpu, monkeypatch, tmp_path):
    code = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('begun', flush=True)\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setattr(on_gpu.on_gpu, "_GRACE_S", 0.1)
    steps = [python(on_gpu, "a", code)]
    exit_code, kept = call(on_gpu, monkeypatch, tmp_path, steps)
    assert exit_code == 130
    assert kept["a"]["state"] == "stopped"
    assert kept["a"]["seconds"] < 30


def test_time_has_to_be_above_nothing(on_gpu):
    with pytest.raises(UsageError, match="minutes"):
        on_gpu.on_gpu.main(["--minutes", "0"])


def test_a_rehearsal_is_not_taken_for_a_measurement(on_gpu, monkeypatch, tmp_path):
    monkeypatch.setattr(on_gpu.on_gpu, "resolve_device", lambda name: None)
    call(on_gpu, monkeypatch, tmp_path, [python(on_gpu, "a", "pass")])
    with pytest.raises(UsageError, match="is of a rehearsal; name another folder with --out"):
        on_gpu.on_gpu.main(["--out", str(tmp_path)])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_nothing_is_begun_without_a_gpu(on_gpu, tmp_path):
    with pytest.raises(UsageError, match="--device cuda"):
        on_gpu.on_gpu.main(["--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())
