"""Measure what keeping trials costs: `python benchmarks/study_cost.py`.

A study of random, evolution and tpe is opened from its journal, and goes on: all that a search by
them adds to the training of its samples. Trials are drawn at random from autodeeplab, their scores
too.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from csv_rows import write_rows
from earlier_calls import calls_so_far

from autoseg.architecture import SearchSpace
from autoseg.atomic import atomic_write
from autoseg.cli import OK, read_request, run_command
from autoseg.config import SearchConfig
from autoseg.errors import UsageError
from autoseg.proposers import ArchitectureDomain, Domain, Study
from autoseg.strategies import STRATEGIES, DiscreteSearch

PROG = "python benchmarks/study_cost.py"

NAMES = ("random", "evolution", "tpe")
"""Strategies of which a study is opened."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRequest:
    """What a user can say to `python benchmarks/study_cost.py`."""

    trials: tuple[int, ...] = (100, 1000, 10_000)
    """Sizes of the studies, ascending."""
    repeats: int = 5
    """Trials that are proposed and kept after a study was opened."""
    out: Path = Path("results/strategies/study_cost.csv")
    """CSV file, written anew after every row, with a record of the call beside it."""

    def __post_init__(self) -> None:
        if not self.trials or min(self.trials) < 1 or list(self.trials) != sorted(self.trials):
            raise UsageError(f"--trials is {self.trials}; it must be ascending numbers from 1.")
        if self.repeats < 1:
            raise UsageError(f"--repeats is {self.repeats}; it must be at least 1.")


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRow:
    """What a strategy's study of some size costs: on the clock, and of the processor."""

    strategy: str
    num_trials: int
    open_s: float
    """Until all trials of the journal are read, and the next one is proposed."""
    open_processor_s: float
    trial_ms: float
    """Median of a trial after that: proposed, scored by nobody, and kept on the disk."""
    trial_processor_ms: float
    slowest_trial_ms: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    request = read_request(
        StudyRequest,
        arguments,
        prog=PROG,
        description="Time the opening of studies of many trials, and the trials after it.",
        example=f"{PROG} --trials 10000",
    )
    record = request.out.with_suffix(".json")
    calls = calls_so_far(record, [*PROG.split(), *arguments])
    rows: list[StudyRow] = []
    with tempfile.TemporaryDirectory() as folder:
        for row in measure(Path(folder), sizes=request.trials, repeats=request.repeats):
            rows.append(row)
            write_rows(rows, request.out)
            print(
                f"{row.strategy:10} {row.num_trials:6,} trials: opened in {row.open_s:.2f} s "
                f"({row.open_processor_s:.2f} of the processor), {row.trial_ms:.1f} ms a trial "
                f"({row.trial_processor_ms:.1f})"
            )
    atomic_write(record, (json.dumps({"calls": calls}, indent=1) + "\n").encode())
    print(f"written: {request.out} {record}")
    return OK


def measure(folder: Path, *, sizes: Sequence[int], repeats: int) -> Iterator[StudyRow]:
    """Fill one journal to each size in turn, and open it by each strategy."""
    domain = ArchitectureDomain(SearchSpace.load("autodeeplab"))
    generator = torch.Generator().manual_seed(0)
    journal, bookmark, num_trials = folder / "trials.journal", 0, 0
    for size in sizes:
        with _study("random", domain, journal) as study:
            study.go_back(bookmark)
            for _ in range(size - num_trials):
                score = float(torch.rand((), generator=generator))
                study.add(domain.sample(generator), (score,))
            bookmark, num_trials = study.bookmark, size
        for name in NAMES:
            yield _row(name, domain, journal, bookmark=bookmark, size=size, repeats=repeats)


def _row(
    name: str, domain: Domain, journal: Path, *, bookmark: int, size: int, repeats: int
) -> StudyRow:
    """Open the journal at the bookmark; what is added is forgotten by the next that opens it."""
    start = _now()
    with _study(name, domain, journal) as study:
        study.go_back(bookmark)
        assert len(study.trials) == size
        value = study.propose()
        opened = _since(start)
        trials = []
        for number in range(repeats):
            start = _now()
            study.add(value, (number / repeats,))
            value = study.propose()
            trials.append(_since(start))
    walls, processors = zip(*trials, strict=True)
    return StudyRow(
        strategy=name,
        num_trials=size,
        open_s=round(opened[0], 3),
        open_processor_s=round(opened[1], 3),
        trial_ms=round(1000 * statistics.median(walls), 2),
        trial_processor_ms=round(1000 * statistics.median(processors), 2),
        slowest_trial_ms=round(1000 * max(walls), 2),
    )


def _study(name: str, domain: Domain, journal: Path) -> Study:
    strategy = STRATEGIES[name]
    assert issubclass(strategy, DiscreteSearch)
    return Study(strategy.sampler(domain, SearchConfig(), (0,)), journal=journal)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(start: tuple[float, float]) -> tuple[float, float]:
    """Return the seconds since then: of the clock, and of this process's processors."""
    return time.perf_counter() - start[0], time.process_time() - start[1]


if __name__ == "__main__":
    run_command(main)
