"""Measure the dense CRF: `python benchmarks/crf.py --help`.

Time and memory of its modes and back ends at several sizes, against pydensecrf where it is
installed, and the distance of each from the CRF without approximation.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from crf_cost.accuracy import measure_accuracy
from crf_cost.figures import NothingToDraw, draw_crf
from crf_cost.methods import OWN_METHODS, MethodName, check_peers, failure_of
from crf_cost.report import accuracy_markdown, costs_markdown, describe_run, write_results
from crf_cost.scenes import crops, open_dataset, scene_of_case
from crf_cost.setting import CASES, PARAMETER_SETS, AccuracyRow, CostRow, Task
from crf_cost.timing import measure_memory, time_tasks

from autoseg.cli import FAILED, OK, read_request, resolve_device, run_command
from autoseg.data import SegmentationDataset
from autoseg.errors import UsageError
from autoseg.reporting import save_figure
from autoseg.runs import Progress

PROG = "python benchmarks/crf.py"

CaseName = Literal["small", "camvid", "voc", "city"]
ParametersName = Literal["readme", "deeplab"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkRequest:
    """What a user can say to `python benchmarks/crf.py`."""

    peer: bool = False
    """Measure pydensecrf too, which has to be installed; the project does not need it."""
    convcrf: Path | None = None
    """Checkout of github.com/MarvinTeichmann/ConvCRF, to measure too."""
    measure: tuple[Literal["time", "memory", "accuracy"], ...] = ("time", "memory", "accuracy")
    """What is measured."""
    methods: tuple[MethodName, ...] = ()
    """Modes and back ends; none: all of the project's. One that cannot run is reported as such."""
    cases: tuple[CaseName, ...] = ("small", "camvid", "voc", "city")
    """Sizes of the times and memory."""
    parameters: tuple[ParametersName, ...] = ("readme", "deeplab")
    """Parameter sets of the times and memory."""
    iterations: tuple[int, ...] = (5, 10)
    """Numbers of updates of the times; the memory is that of the fewest."""
    threads: tuple[int, ...] = (1, 2)
    """CPU threads of the times; the memory is that of the most."""
    repeats: int = 7
    """Rounds; in each, every method runs once on every task."""
    max_seconds: float = 20.0
    """A method whose first run takes longer is not run again; that run is its time."""
    num_images: int = 8
    """Images of the accuracy, evenly spread over the val split."""
    accuracy_size: tuple[int, int] = (120, 160)
    """Height and width of the crops of the accuracy, in pixels; the exact mode needs about 10 s for
    each image and parameter set on a CPU core."""
    data_root: Path | None = None
    """CamVid's folder; none reads the environment variable AUTOSEG_DATA, and without that the
    embedded dataset is used."""
    device: str = "cpu"
    """auto, cpu, cuda or cuda:N."""
    out: Path = Path("results/crf")
    """Folder for crf.csv, crf_accuracy.csv, crf.md, crf.json, crf.png and crf.svg."""

    def __post_init__(self) -> None:
        numbers = {
            "repeats": self.repeats,
            "num_images": self.num_images,
            "threads": min(self.threads, default=1),
            "iterations": min(self.iterations, default=1),
        }
        for name, value in numbers.items():
            if value < 1:
                raise UsageError(f"--{name.replace('_', '-')} is {value}; it must be at least 1.")
        if "pydensecrf" in self.methods and not self.peer:
            raise UsageError("--methods pydensecrf: give --peer instead.")
        if "convcrf" in self.methods and self.convcrf is None:
            raise UsageError("--methods convcrf: name its checkout with --convcrf instead.")

    def chosen_methods(self) -> list[MethodName]:
        """Resolve the methods: the project's, then the peers."""
        peers: list[MethodName] = []
        if self.peer:
            peers.append("pydensecrf")
        if self.convcrf is not None:
            peers.append("convcrf")
        return list(dict.fromkeys([*(self.methods or OWN_METHODS), *peers]))

    def tasks(self, device: str) -> list[Task]:
        """List the tasks of the times; threads play no part on a GPU."""
        threads = self.threads if torch.device(device).type == "cpu" else self.threads[:1]
        return [
            Task(
                case=CASES[case],
                parameters=parameters,
                num_iterations=num_iterations,
                num_threads=num_threads,
            )
            for case in dict.fromkeys(self.cases)
            for parameters in dict.fromkeys(self.parameters)
            for num_iterations in sorted(set(self.iterations))
            for num_threads in sorted(set(threads))
        ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    request = read_request(
        BenchmarkRequest,
        arguments,
        prog=PROG,
        description=(
            "Time the dense CRF's modes and back ends against pydensecrf, everything included, "
            "and measure their memory and their distance from the exact CRF."
        ),
        example=(
            f"{PROG} --peer --data-root ~/camvid\n"
            f"{PROG} --cases camvid --iterations 5 --threads 1 --measure time\n"
            f"{PROG} --device cuda --measure time memory"
        ),
    )
    device = str(resolve_device(request.device))
    check_peers(use_pydensecrf=request.peer, convcrf=request.convcrf)
    use_camvid = bool(request.data_root or os.environ.get("AUTOSEG_DATA"))
    dataset = open_dataset(request.data_root, use_camvid=use_camvid)
    print(f"images: {dataset.name}, {dataset.split} split", file=sys.stderr)
    run = describe_run(
        [*PROG.split(), *arguments],
        dataset,
        device=device,
        accuracy_size=request.accuracy_size,
        convcrf=request.convcrf,
    )
    num_threads = torch.get_num_threads()
    costs: list[CostRow] = []
    accuracy: list[AccuracyRow] = []
    if {"time", "memory"} & set(request.measure):
        costs = _measure_costs(request, dataset, device)
        write_results(request.out, costs, [], run)  # the accuracy may take long, and be stopped
    if "accuracy" in request.measure:
        torch.set_num_threads(num_threads)
        accuracy = _measure_accuracy(request, dataset, device)
    written = write_results(request.out, costs, accuracy, run)
    try:
        figure = draw_crf(costs, accuracy, title=f"Dense CRF on {device}")
        written += save_figure(figure, request.out / "crf")
    except NothingToDraw as error:
        print(error, file=sys.stderr)
    if costs:
        print(costs_markdown(costs))
    if accuracy:
        print(accuracy_markdown(accuracy))
    print("\nwritten: " + " ".join(str(path) for path in written))
    return OK if accuracy or any(row.median_ms is not None for row in costs) else FAILED


def _measure_costs(
    request: BenchmarkRequest, dataset: SegmentationDataset, device: str
) -> list[CostRow]:
    """Measure time and memory of all tasks."""
    methods = request.chosen_methods()
    tasks = request.tasks(device)
    num_repeats = request.repeats if "time" in request.measure else 0
    scenes = {task.case.name: scene_of_case(dataset, task.case) for task in tasks}
    # Failures and slow methods end early, so that the time left is an upper bound.
    with Progress(len(tasks) * len(methods) * (num_repeats + 1), description="crf") as progress:
        rows = time_tasks(
            tasks,
            scenes,
            methods,
            num_repeats=num_repeats,
            max_seconds=request.max_seconds if num_repeats else 0.0,
            device=device,
            convcrf=request.convcrf,
            on_run=lambda method: progress.update(running=method),
        )
    if "memory" not in request.measure:
        return rows
    fewest, most = min(request.iterations), max(task.num_threads for task in tasks)
    measured = []
    with Progress(len(rows), description="memory", unit="row") as progress:
        for row in rows:
            is_chosen = (row.num_iterations, row.num_threads) == (fewest, most)
            if is_chosen and row.failure is None:
                row = measure_memory(row, scenes[row.case], device=device, convcrf=request.convcrf)
            measured.append(row)
            progress.update()
    return measured


def _measure_accuracy(
    request: BenchmarkRequest, dataset: SegmentationDataset, device: str
) -> list[AccuracyRow]:
    """Measure the distance from the exact CRF; the back ends differ by rounding alone."""
    scenes = crops(dataset, request.num_images, request.accuracy_size)
    methods: list[MethodName] = []
    for method in request.chosen_methods():
        reason = failure_of(method, scenes[0], device=device, convcrf=request.convcrf)
        if reason is None:
            methods.append(method)
        else:
            print(f"left out of the accuracy: {method}: {reason}", file=sys.stderr)
    total = len(scenes) * len(PARAMETER_SETS) * (len(methods) + 1)
    with Progress(total, description="accuracy") as progress:
        return measure_accuracy(
            scenes,
            methods,
            device=device,
            convcrf=request.convcrf,
            on_run=lambda method: progress.update(running=method),
        )


if __name__ == "__main__":
    run_command(main)
