"""Times of methods that take turns in one process, and their memory in processes of their own."""

import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import torch
from search_cost.memory import PeakMemory

from autoseg.cost import synchronised_clock

from .methods import MAX_EXACT_PIXELS, MethodName, Run, corner_of, describe_failure, prepare
from .scenes import Scene
from .setting import CASES, CostRow, Task


def time_methods(
    task: Task,
    scene: Scene,
    methods: Sequence[MethodName],
    *,
    num_repeats: int,
    max_seconds: float,
    device: str,
    convcrf: Path | None,
    on_run: Callable[[str], None],
) -> list[CostRow]:
    """Time methods on one task; they take turns, so that a slow minute hits all alike.

    Each runs once before, uncounted, unless that run took longer than `max_seconds`: then it is the
    only one.

    Args:
        task: What is computed.
        scene: On what.
        methods: Which methods; one that fails has a row that says why.
        num_repeats: Counted runs of each.
        max_seconds: See above.
        device: Of the project's methods.
        convcrf: Checkout of ConvCRF.
        on_run: Is told the method before each run.
    """
    now = synchronised_clock(device, clock=time.perf_counter)
    torch.set_num_threads(task.num_threads)
    runs: dict[MethodName, Run] = {}
    times: dict[MethodName, list[float]] = {}
    failures: dict[MethodName, str] = {}
    for method in methods:
        on_run(method)
        try:
            _refuse_exact(method, task, device)
            run = prepare(method, scene, task.crf_parameters(), device=device, convcrf=convcrf)
            start = now()
            run()
            seconds = now() - start
        # Not ours to narrow: whatever a method raises is the result of measuring it.
        except Exception as error:
            failures[method] = describe_failure(error)
            continue
        if seconds > max_seconds:
            times[method] = [seconds]
        else:
            runs[method] = run
    for _ in range(num_repeats):
        for method, run in runs.items():
            on_run(method)
            start = now()
            run()
            times.setdefault(method, []).append(now() - start)
    return _rows(task, methods, times, failures)


def _refuse_exact(method: MethodName, task: Task, device: str) -> None:
    limit = MAX_EXACT_PIXELS[torch.device(device).type]
    if method == "exact" and task.case.num_pixels > limit:
        raise ValueError(f"not timed beyond {limit:,} pixels on {device}")


def _rows(
    task: Task,
    methods: Sequence[MethodName],
    times: Mapping[MethodName, Sequence[float]],
    failures: Mapping[MethodName, str],
) -> list[CostRow]:
    medians = {name: 1000 * statistics.median(seconds) for name, seconds in times.items()}
    peer = medians.get("pydensecrf")
    rows = []
    for method in methods:
        taken = [1000 * seconds for seconds in times.get(method, ())]
        median = medians.get(method)
        rows.append(
            CostRow(
                case=task.case.name,
                height=task.case.height,
                width=task.case.width,
                num_classes=task.case.num_classes,
                parameters=task.parameters,
                num_iterations=task.num_iterations,
                num_threads=task.num_threads,
                method=method,
                median_ms=median,
                min_ms=min(taken, default=None),
                max_ms=max(taken, default=None),
                num_repeats=len(taken),
                speedup=peer / median if peer and median else None,
                memory_mib=None,
                failure=failures.get(method),
            )
        )
    return rows


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
