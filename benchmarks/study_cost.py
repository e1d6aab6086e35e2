"""Measure what keeping trials costs: `python benchmarks/study_cost.py`.

A study of random, evolution and tpe is opened from its journal or its database, and goes on: all
that a search by them adds to the training of its samples. Trials are drawn at random from
autodeeplab, their scores too.
"""

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
import torch
from csv_rows import write_rows
from earlier_calls import calls_so_far
from optuna.distributions import distribution_to_json
from optuna.storages import JournalStorage
from optuna.storages._rdb import models
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from sqlalchemy import create_engine, insert

from autoseg.architecture import SearchSpace
from autoseg.atomic import atomic_write
from autoseg.cli import OK, read_request, run_command
from autoseg.config import SearchConfig
from autoseg.errors import UsageError
from autoseg.proposers import ArchitectureDomain, Domain, SharedStorage, Study
from autoseg.strategies import STRATEGIES, DiscreteSearch

PROG = "python benchmarks/study_cost.py"

NAMES = ("random", "evolution", "tpe")
"""Strategies of which a study is opened."""
STORAGES = ("journal", "sqlite")
"""Where trials can be kept without a server."""
_STUDY = "search"
"""Name of the study in both."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRequest:
    """What a user can say to `python benchmarks/study_cost.py`."""

    trials: tuple[int, ...] = (100, 1000, 10_000)
    """Sizes of the studies, ascending."""
    storages: tuple[str, ...] = STORAGES
    """Where they are kept: journal, sqlite or both."""
    repeats: int = 5
    """Trials that are proposed and kept after a study was opened."""
    out: Path = Path("results/strategies/study_cost.csv")
    """CSV file, written anew after every row, with a record of the call beside it."""

    def __post_init__(self) -> None:
        if not self.trials or min(self.trials) < 1 or list(self.trials) != sorted(self.trials):
            raise UsageError(f"--trials is {self.trials}; it must be ascending numbers from 1.")
        if self.repeats < 1:
            raise UsageError(f"--repeats is {self.repeats}; it must be at least 1.")
        if unknown := [name for name in self.storages if name not in STORAGES]:
            raise UsageError(
                f"--storages has {unknown[0]!r}, which is none of {', '.join(STORAGES)}."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRow:
    """What a strategy's study of some size costs: on the clock, and of the processor."""

    storage: str
    strategy: str
    num_trials: int
    open_s: float
    """Until all trials are read, and the next one is proposed."""
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
        for row in measure(Path(folder), request):
            rows.append(row)
            write_rows(rows, request.out)
            print(
                f"{row.storage:7} {row.strategy:10} {row.num_trials:6,} trials: opened in "
                f"{row.open_s:.2f} s ({row.open_processor_s:.2f} of the processor), "
                f"{row.trial_ms:.1f} ms a trial ({row.trial_processor_ms:.1f})"
            )
    atomic_write(record, (json.dumps({"calls": calls}, indent=1) + "\n").encode())
    print(f"written: {request.out} {record}")
    return OK


def measure(folder: Path, request: StudyRequest) -> Iterator[StudyRow]:
    """Fill one journal to each size in turn, and open it, or a database of it, by each strategy."""
    domain = ArchitectureDomain(SearchSpace.load("autodeeplab"))
    generator = torch.Generator().manual_seed(0)
    journal, bookmark, num_trials = folder / "trials.journal", 0, 0
    for size in request.trials:
        with _study("random", domain, journal) as study:
            study.go_back(bookmark)
            for _ in range(size - num_trials):
                score = float(torch.rand((), generator=generator))
                study.add(domain.sample(generator), (score,))
            bookmark, num_trials = study.bookmark, size
        if "sqlite" in request.storages:
            _copy_trials(journal, folder / "filled.db")
        for storage in request.storages:
            for name in NAMES:
                # What is added is forgotten by the next that opens the journal, or a copy.
                file = journal
                if storage == "sqlite":
                    file = Path(shutil.copy(folder / "filled.db", folder / "trials.db"))
                with _study(name, domain, file) as study:
                    yield _row(study, bookmark, storage, name, size=size, repeats=request.repeats)


def _row(
    study: Study, bookmark: int, storage: str, name: str, *, size: int, repeats: int
) -> StudyRow:
    """Open a study, and go on with it."""
    start = _now()
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
        storage=storage,
        strategy=name,
        num_trials=size,
        open_s=round(opened[0], 3),
        open_processor_s=round(opened[1], 3),
        trial_ms=round(1000 * statistics.median(walls), 2),
        trial_processor_ms=round(1000 * statistics.median(processors), 2),
        slowest_trial_ms=round(1000 * max(walls), 2),
    )


def _copy_trials(journal: Path, database: Path) -> None:
    """Copy a journal's trials into a new database, in a statement for each of its tables."""
    kept = JournalStorage(JournalFileBackend(str(journal)))
    trials = optuna.load_study(study_name=_STUDY, storage=kept).get_trials(deepcopy=False)
    database.unlink(missing_ok=True)
    shared = SharedStorage(f"sqlite:///{database}", study_name=_STUDY, worker=0)
    study_id = shared.open().create_new_study([StudyDirection.MAXIMIZE], _STUDY)
    shared.close()
    texts = {
        name: distribution_to_json(each) for name, each in trials[0].distributions.items()
    }  # the same in all
    rows = {
        models.TrialModel: [
            {"trial_id": number, "number": number - 1, "study_id": study_id, "state": trial.state}
            for number, trial in enumerate(trials, 1)
        ],
        models.TrialValueModel: [
            {"trial_id": number, "objective": 0, "value": trial.value, "value_type": "FINITE"}
            for number, trial in enumerate(trials, 1)
        ],
        models.TrialParamModel: [
            {
                "trial_id": number,
                "param_name": name,
                "param_value": trial.distributions[name].to_internal_repr(option),
                "distribution_json": texts[name],
            }
            for number, trial in enumerate(trials, 1)
            for name, option in trial.params.items()
        ],
    }
    engine = create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        for model, each in rows.items():
            connection.execute(insert(model.__table__), each)
    engine.dispose()


def _study(name: str, domain: Domain, file: Path) -> Study:
    strategy = STRATEGIES[name]
    assert issubclass(strategy, DiscreteSearch)
    sampler = strategy.sampler(domain, SearchConfig(), (0,))
    if file.suffix == ".journal":
        return Study(sampler, journal=file)
    url = f"sqlite:///{file}"
    return Study(sampler, shared=SharedStorage(url, study_name=_STUDY, worker=0))


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(start: tuple[float, float]) -> tuple[float, float]:
    """Return the seconds since then: of the clock, and of this process's processors."""
    return time.perf_counter() - start[0], time.process_time() - start[1]


if __name__ == "__main__":
    run_command(main)
