"""Times of methods that take turns in one process, and their memory in processes of their own."""

import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from autoseg.cost import PeakMemory, synchronised_clock

from .methods import MAX_EXACT_PIXELS, MethodName, Run, corner_of, describe_failure, prepare
from .scenes import Scene
from .setting import CASES, CostRow, Task


@dataclass(kw_only=True, slots=True)
class _Timed:
    """A method on a task, and what became of it."""

    task: Task
    method: MethodName
    run: Run | None = None
    """None once it is not to be run any more."""
    seconds: list[float] = field(default_factory=list)
    failure: str | None = None


def time_tasks(
    tasks: Sequence[Task],
    scenes: Mapping[str, Scene],
    methods: Sequence[MethodName],
    *,
    num_repeats: int,
    max_seconds: float,
    device: str,
    convcrf: Path | None,
    on_run: Callable[[str], None],
) -> list[CostRow]:
    """Time methods on tasks; in each round all run once, so that a slow minute hits all alike.

    Each runs once before, uncounted, unless that run took longer than `max_seconds`: then it is the
    only one.

    Args:
        tasks: What is computed.
        scenes: On what, by the name of the task's case.
        methods: Which methods; one that fails has a row that says why.
        num_repeats: Rounds.
        max_seconds: Longest first run, in seconds, that is followed by others.
        device: Device of the project's methods.
        convcrf: Checkout of ConvCRF.
        on_run: Is told the method before each run.

    Returns:
        A row for each method on each task; the methods of a task one after the other.
    """
    now = synchronised_clock(device, clock=time.perf_counter)
    all_timed = [_Timed(task=task, method=method) for task in tasks for method in methods]

    def timed_run(timed: _Timed, run: Run) -> float:
        torch.set_num_threads(timed.task.num_threads)
        on_run(timed.method)
        start = now()
        run()
        return now() - start

    for timed in all_timed:
        try:
            _refuse_exact(timed.method, timed.task, device)
            run = prepare(
                timed.method,
                scenes[timed.task.case.name],
                timed.task.crf_parameters(),
                device=device,
                convcrf=convcrf,
            )
            seconds = timed_run(timed, run)
        # Not ours to narrow: whatever a method raises is the result of measuring it.
        except Exception as error:
            timed.failure = describe_failure(error)
            continue
        if seconds > max_seconds:
            timed.seconds = [seconds]
        else:
            timed.run = run
    for _ in range(num_repeats):
        for timed in all_timed:
            if timed.run is not None:
                timed.seconds.append(timed_run(timed, timed.run))
    return _rows(all_timed)


def _refuse_exact(method: MethodName, task: Task, device: str) -> None:
    limit = MAX_EXACT_PIXELS[torch.device(device).type]
    if method == "exact" and task.case.num_pixels > limit:
        raise ValueError(f"not timed beyond {limit:,} pixels on {device}")


def _rows(all_timed: Sequence[_Timed]) -> list[CostRow]:
    peers = {timed.task: timed.seconds for timed in all_timed if timed.method == "pydensecrf"}
    rows = []
    for timed in all_timed:
        task, taken = timed.task, [1000 * seconds for seconds in timed.seconds]
        rows.append(
            CostRow(
                case=task.case.name,
                height=task.case.height,
                width=task.case.width,
                num_classes=task.case.num_classes,
                parameters=task.parameters,
                num_iterations=task.num_iterations,
                num_threads=task.num_threads,
                method=timed.method,
                median_ms=statistics.median(taken) if taken else None,
                min_ms=min(taken, default=None),
                max_ms=max(taken, default=None),
                num_repeats=len(taken),
                speedup=_speedup(peers.get(task, ()), timed.seconds),
                memory_mib=None,
                failure=timed.failure,
            )
        )
    return rows


def _speedup(peer: Sequence[float], own: Sequence[float]) -> float | None:
    """Return the median of the rounds' ratios; a ratio of medians where one ran only once."""
    if not peer or not own:
        return None
    if len(peer) != len(own):
        return statistics.median(peer) / statistics.median(own)
    return statistics.median(theirs / ours for theirs, ours in zip(peer, own, strict=True))


def measure_memory(row: CostRow, scene: Scene, *, device: str, convcrf: Path | None) -> CostRow:
    """Add the memory of a row, measured in a process that does nothing else."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        future = executor.submit(_memory_mib, row, scene, device, convcrf)
        try:
            return replace(row, memory_mib=future.result())
        except BrokenProcessPool:
            return replace(row, failure="its process was killed: too little memory?")


def _memory_mib(row: CostRow, scene: Scene, device: str, convcrf: Path | None) -> float | None:
    warnings.simplefilter("ignore")  # another project's deprecations are not our news
    torch.set_num_threads(row.num_threads)
    task = Task(
        case=CASES[row.case],
        parameters=row.parameters,
        num_iterations=row.num_iterations,
        num_threads=row.num_threads,
    )
    # A few pixels first: code that is loaded when it is needed is not the method's memory.
    method: MethodName = row.method  # pyright: ignore[reportAssignmentType] a row's method is one
    parameters = task.crf_parameters()
    prepare(method, corner_of(scene), parameters, device=device, convcrf=convcrf)()
    run = prepare(method, scene, parameters, device=device, convcrf=convcrf)
    memory = PeakMemory(device)
    run()
    return memory.read_mib()
