"""Measure what a selection by perturbation costs: `python benchmarks/selection_cost.py`.

A search by darts of the tiny preset, without validation, and the selection after it. Times are the
processor's, all threads together, which other work on the machine hardly changes.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import torch
from csv_rows import write_rows
from earlier_calls import calls_so_far

from autoseg.architecture import SearchSpace
from autoseg.atomic import atomic_write
from autoseg.backends import choose_backend
from autoseg.cli import OK, read_request, run_command
from autoseg.config import SEARCH_PRESETS
from autoseg.data import build_dataset
from autoseg.errors import UsageError
from autoseg.runs import seed_everything
from autoseg.strategies import DartsSearch, SearchTask

PROG = "python benchmarks/selection_cost.py"


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectionRequest:
    """What a user can say to `python benchmarks/selection_cost.py`."""

    arch_steps: int = 128
    """Steps that move alpha and beta, after as many of the weights alone."""
    out: Path = Path("results/strategies/selection_cost.csv")
    """CSV file, written after the search and again after the selection, with a record of the call
    beside it."""

    def __post_init__(self) -> None:
        if self.arch_steps < 1:
            raise UsageError(f"--arch-steps is {self.arch_steps}; it must be at least 1.")


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseRow:
    """What a part of the search costs."""

    phase: str
    num_steps: int
    processor_s: float
    share: float
    """Share of the search's time: 1 for the search itself."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    request = read_request(
        SelectionRequest,
        arguments,
        prog=PROG,
        description="Time a selection by perturbation against the search before it.",
        example=f"{PROG} --arch-steps 32",
    )
    task = SearchTask(
        space=SearchSpace.load("autodeeplab", preset="tiny"),
        config=replace(SEARCH_PRESETS["tiny"], precision="fp32", arch_steps=request.arch_steps),
        train_dataset=build_dataset("synthetic", split="train"),
        val_dataset=build_dataset("synthetic", split="val"),
        device=torch.device("cpu"),
        backend=choose_backend("auto", "cpu", work="Supernet").name,
    )
    record = request.out.with_suffix(".json")
    calls = calls_so_far(record, [*PROG.split(), *arguments])
    rows: list[PhaseRow] = []
    for row in measure(task):
        rows.append(row)
        write_rows(rows, request.out)
        print(f"{row.phase:10} {row.num_steps:5} steps {row.processor_s:8.1f} s {row.share:7.1%}")
    atomic_write(record, (json.dumps({"calls": calls}, indent=1) + "\n").encode())
    print(f"written: {request.out} {record}, {torch.get_num_threads()} threads")
    return OK


def measure(task: SearchTask) -> Iterator[PhaseRow]:
    """Search, and then select."""
    num_search_steps = DartsSearch(task).num_steps
    seed_everything(task.config.seed)
    search = DartsSearch(replace(task, config=replace(task.config, selection="perturbation")))

    def seconds(steps: range) -> float:
        return sum(
            _seconds(partial(search.step, step, Fraction(step, search.num_steps))) for step in steps
        )

    search_s = seconds(range(num_search_steps))
    yield PhaseRow(phase="search", num_steps=num_search_steps, processor_s=search_s, share=1.0)
    num_steps = search.num_steps - num_search_steps
    selection_s = seconds(range(num_search_steps, search.num_steps))
    yield PhaseRow(
        phase="selection",
        num_steps=num_steps,
        processor_s=selection_s,
        share=selection_s / search_s,
    )


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    run_command(main)
