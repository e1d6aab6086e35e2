"""Measure all that a GPU has to show, in pieces: `python benchmarks/on_gpu.py --help`.

Tests, times of search, training and CRF, and CamVid from the search to the table, one command
after the other. A call ends when its minutes are over, and the next one goes on: benchmarks with
the rows that they lack, trainings with --resume. What each step has said lies in a file of its own.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from earlier_calls import calls_so_far
from gpu_steps import NETWORKS, Places, Step, all_steps

from autoseg.atomic import atomic_write
from autoseg.cli import FAILED, INTERRUPTED, OK, read_request, resolve_device, run_command
from autoseg.cli.console import announce
from autoseg.config.ranges import Count, Range, Seed
from autoseg.errors import UsageError
from autoseg.reporting.publishing import published_command
from autoseg.reporting.tables import Column, to_markdown

PROG = "python benchmarks/on_gpu.py"
State = Literal["done", "failed", "stopped"]

_GRACE_S = 60.0
"""How long a command may take to save what it has, once its time is over."""
_LEAST_S = 5.0
"""Less than this is no time to begin a step in."""
_COLUMNS = (
    Column(key="name", heading="Step"),
    Column(key="state", heading="State"),
    Column(key="seconds", heading="Time", kind="number", unit="s"),
    Column(key="command", heading="Command"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class GPURequest:
    """What a user can say to `python benchmarks/on_gpu.py`."""

    minutes: Annotated[float, Range(low=0, without_low=True)] = 9.0
    """Time of this call; what runs then is stopped, and saves what it has."""
    data_root: Path | None = None
    """CamVid's folder; none leaves out the search and the trainings on it."""
    search_budget: str = "30m"
    """Time of the search, as search --budget takes it, over as many calls as that needs."""
    num_steps: Count = 4000
    """Steps of each retraining, of 8 crops of 360 x 480."""
    seeds: tuple[Seed, ...] = (0,)
    """Seeds of each retraining in the table."""
    only: tuple[str, ...] = ()
    """Steps whose names begin so; none: all."""
    device: str = "cuda"
    """cuda or cuda:N."""
    rehearsal: bool = False
    """Run each step on the CPU, as small as it gets, to see that all of them run; the figures
    mean nothing."""
    list: bool = False
    """Show the commands and how far they are, and run nothing."""
    runs: Path = Path("runs/gpu")
    """Folder of the run folders."""
    out: Path = Path("results/gpu")
    """Folder of the tables, of what each step has said, and of steps.json and steps.md."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    request = read_request(
        GPURequest,
        arguments,
        prog=PROG,
        description="Test, time and train on a GPU, in calls of a few minutes each.",
        example=f"{PROG} --minutes 9 --data-root ~/camvid\n{PROG} --rehearsal --out /tmp/rehearsal",
    )
    places = Places(
        out=request.out,
        runs=request.runs,
        data_root=request.data_root,
        device=request.device,
        search_budget=request.search_budget,
        num_steps=request.num_steps,
        seeds=request.seeds,
        networks=("unet",) if request.rehearsal else NETWORKS,
    )
    steps = [step for step in all_steps(places) if _is_asked(step, request.only)]
    record = _Record(request.out, [*PROG.split(), *arguments], is_rehearsal=request.rehearsal)
    if request.list:
        print(record.table(steps, request))
        return OK
    if not request.rehearsal:
        resolve_device(request.device)  # refuses one that is not here
    if request.data_root is None:
        announce("leaves out CamVid: name its folder with --data-root.")
    deadline = time.monotonic() + 60 * request.minutes
    # What failed before comes last, lest it fail again while others wait.
    todo = sorted(
        (step for step in steps if record.state(step) != "done"),
        key=lambda step: record.state(step) == "failed",
    )
    for step in todo:
        if deadline - time.monotonic() < _LEAST_S:
            break
        record.keep(step, _run(step, request, deadline))
        print(record.line(step))
    print(f"\n{record.table(steps, request)}\n\nwritten: {record.path}")
    states = {record.state(step) for step in steps}
    if "failed" in states:
        return FAILED
    return OK if states <= {"done"} else INTERRUPTED


def _is_asked(step: Step, names: Sequence[str]) -> bool:
    return not names or step.name.startswith(tuple(names))


def _run(step: Step, request: GPURequest, deadline: float) -> dict[str, Any]:
    """Run a step until it ends or the time is over."""
    command = step.command(is_rehearsal=request.rehearsal)
    log = request.out / "logs" / f"{step.name.replace(' ', '-').replace('/', '-')}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    announce(f"{step.name}: {published_command(['python', *command])}")
    begin = time.monotonic()
    with (
        log.open("a", encoding="utf-8") as file,
        subprocess.Popen(
            [sys.executable, *command], stdout=file, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        try:
            code = process.wait(timeout=max(0.0, deadline - begin))
            state: State = "done" if code == OK else "failed"
        except subprocess.TimeoutExpired:
            state = "stopped"
        finally:
            # Also where this program is interrupted: nothing goes on behind it.
            _end(process)
    return {
        "state": state,
        "seconds": time.monotonic() - begin,
        "command": published_command(["python", *command]),
        "log": log.name,
    }


def _end(process: subprocess.Popen[str]) -> None:
    """Ask a process to end, as Ctrl-C would, and kill it when it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()


class _Record:
    """How far each step is, in steps.json, written after each."""

    def __init__(self, folder: Path, command: Sequence[str], *, is_rehearsal: bool) -> None:
        self.path, self._is_rehearsal = folder / "steps.json", is_rehearsal
        self._calls = calls_so_far(self.path, command)
        self._steps: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            if kept["is_rehearsal"] != is_rehearsal:
                what = "a rehearsal" if kept["is_rehearsal"] else "a measurement"
                raise UsageError(f"{self.path} is of {what}; name another folder with --out.")
            self._steps = kept["steps"]

    def state(self, step: Step) -> State | None:
        """Return how far a step is; None if it has not begun."""
        return self._steps.get(step.name, {}).get("state")

    def keep(self, step: Step, ending: dict[str, Any]) -> None:
        """Add a piece of a step to its time, and write all."""
        earlier = self._steps.get(step.name, {}).get("seconds", 0.0)
        self._steps[step.name] = {**ending, "seconds": earlier + ending["seconds"]}
        kept = {"is_rehearsal": self._is_rehearsal, "calls": self._calls, "steps": self._steps}
        text = json.dumps(kept, indent=1)
        atomic_write(self.path, f"{text}\n".encode())

    def line(self, step: Step) -> str:
        """Say how a step ended, and where to read more."""
        kept = self._steps[step.name]
        where = f"; see {self.path.parent / 'logs' / kept['log']}"
        return f"{step.name}: {kept['state']} after {kept['seconds']:.0f} s" + (
            where if kept["state"] == "failed" else ""
        )

    def table(self, steps: Sequence[Step], request: GPURequest) -> str:
        """Write the steps and how far they are, and keep it beside the record."""
        rows = [
            {
                "name": step.name,
                "state": self.state(step) or "to do",
                "seconds": self._steps.get(step.name, {}).get("seconds"),
                "command": published_command(
                    ["python", *step.command(is_rehearsal=request.rehearsal)]
                ),
            }
            for step in steps
        ]
        text = to_markdown(rows, _COLUMNS)
        if self.path.exists():
            atomic_write(self.path.with_suffix(".md"), f"{text}\n".encode())
        return text


if __name__ == "__main__":
    run_command(main)
