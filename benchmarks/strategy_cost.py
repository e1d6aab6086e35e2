"""Measure what a step of each search by alpha and beta costs: `python benchmarks/strategy_cost.py`.

The strategies take turns, step by step, on the same batches, at the tiny preset's sizes; each is
compared with darts in the same turn. A step moves the weights and alpha and beta. Times are the
processor's, all threads together, which other work on the machine hardly changes.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from csv_rows import write_rows
from torch import Tensor

from autoseg.architecture import SearchSpace
from autoseg.backends import choose_backend
from autoseg.cli import OK, read_request, run_command
from autoseg.config import SEARCH_PRESETS
from autoseg.data import build_dataset
from autoseg.errors import UsageError
from autoseg.runs import seed_everything
from autoseg.strategies import STRATEGIES, DartsSearch, SearchTask
from autoseg.strategies.estimator import SupernetEstimator
from autoseg.strategies.robust import RobustSearch

PROG = "python benchmarks/strategy_cost.py"

WEIGHTS = "darts, weights alone"
"""Name of the row for the half of darts' step that moves the weights."""
SINGLE_PATH = "single path"
"""Name of the row for a step of the weights by `--estimator supernet`."""
EIGENVALUE = "eigenvalue"
"""Name of the row for one largest eigenvalue of the Hessian, as `robust` measures it."""

_PROGRESS = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class CostRequest:
    """What a user can say to `python benchmarks/strategy_cost.py`."""

    repeats: int = 5
    """Counted steps of each strategy, after one that warms up."""
    out: Path = Path("results/strategies/cost.csv")
    """CSV file, written anew after every turn: name, median, fastest and slowest step in
    milliseconds, the median ratio to darts' step of the same turn, and what a pass keeps in MiB."""

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise UsageError(f"--repeats is {self.repeats}; it must be at least 1.")


@dataclass(frozen=True, kw_only=True, slots=True)
class CostRow:
    """What is known of a strategy after some turns; times are of one step, in milliseconds."""

    name: str
    median_ms: float
    fastest_ms: float
    slowest_ms: float
    ratio: float
    """Median of the ratios to darts' step of the same turn."""
    kept_mib: float
    """What the pass that moves the weights keeps for its backward pass, parameters included."""
    num_steps: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        CostRequest,
        list(sys.argv[1:] if argv is None else argv),
        prog=PROG,
        description="Time a step of each search by alpha and beta against one of darts.",
        example=f"{PROG} --repeats 9",
    )
    backend = choose_backend("auto", "cpu", work="Supernet")
    config = SEARCH_PRESETS["tiny"]
    task = SearchTask(
        space=SearchSpace.load("autodeeplab", preset="tiny"),
        config=replace(config, precision="fp32"),
        train_dataset=build_dataset("synthetic", split="train"),
        val_dataset=build_dataset("synthetic", split="val"),
        device=torch.device("cpu"),
        backend=backend.name,
    )
    print(f"strategy_cost: {backend.announcement}, {torch.get_num_threads()} threads")
    rows: list[CostRow] = []
    for rows in measure(task, repeats=request.repeats):
        write_rows(rows, request.out)
    for row in rows:
        print(
            f"{row.name:20} {row.median_ms:9.1f} ms  {row.ratio:6.2f} x darts  "
            f"{row.kept_mib:7.1f} MiB"
        )
    print(f"written: {request.out}")
    return OK


def measure(task: SearchTask, *, repeats: int) -> Iterator[list[CostRow]]:
    """Time the strategies in turn, and give after each turn what is known."""
    searches: dict[str, DartsSearch] = {}
    for name, strategy in STRATEGIES.items():
        if issubclass(strategy, DartsSearch) and strategy is not RobustSearch:
            seed_everything(task.config.seed)
            searches[name] = strategy(task)
    seed_everything(task.config.seed)
    watched = RobustSearch(task)
    batches = task.batches("a"), task.batches("b")
    trainer = SupernetEstimator(task).trainer
    darts, batch = searches["darts"].darts, next(task.batches("a"))
    kept = {
        name: _kept_mib(
            partial(search.darts.gradients, search.supernet.weight_parameters(), *batch)
        )
        for name, search in {**searches, EIGENVALUE: watched}.items()
    }
    kept[WEIGHTS] = kept["darts"]
    kept[SINGLE_PATH] = _kept_mib(partial(trainer.step, *batch, progress=_PROGRESS))
    times: dict[str, list[float]] = {
        name: [] for name in (*searches, WEIGHTS, SINGLE_PATH, EIGENVALUE)
    }
    for turn in range(repeats + 1):
        weight_batch, arch_batch = (next(half) for half in batches)
        taken = {
            name: _milliseconds(
                partial(search.darts.step, weight_batch, arch_batch, progress=_PROGRESS)
            )
            for name, search in searches.items()
        }
        taken[WEIGHTS] = _milliseconds(partial(darts.step, weight_batch, progress=_PROGRESS))
        taken[SINGLE_PATH] = _milliseconds(partial(trainer.step, *weight_batch, progress=_PROGRESS))
        taken[EIGENVALUE] = _milliseconds(partial(watched.lambda_max, arch_batch))
        if turn == 0:
            continue  # the first one warms up
        for name, value in taken.items():
            times[name].append(value)
        yield [_row(name, values, times["darts"], kept[name]) for name, values in times.items()]


def _row(name: str, values: Sequence[float], darts: Sequence[float], kept_mib: float) -> CostRow:
    return CostRow(
        name=name,
        median_ms=statistics.median(values),
        fastest_ms=min(values),
        slowest_ms=max(values),
        ratio=statistics.median(a / b for a, b in zip(values, darts, strict=True)),
        kept_mib=kept_mib,
        num_steps=len(values),
    )


def _milliseconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return 1000 * (time.process_time() - start)


def _kept_mib(work: Callable[[], object]) -> float:
    """Add up the memory of all tensors that a pass keeps for its backward pass, each once."""
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        work()
    return sum(sizes.values()) / 2**20


if __name__ == "__main__":
    run_command(main)
