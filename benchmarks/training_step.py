"""Measure what a training step costs in each form: `python benchmarks/training_step.py`.

The forms are maps contiguous and channels-last, and channels-last compiled by torch's compiler.
They take turns, step by step, on the same batches of the embedded dataset, at the tiny preset's
sizes. Times are the processor's, all threads together, which other work on the machine hardly
changes; that of compiling includes the C++ compiler's. Every row is written when it is known.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from csv_rows import write_rows
from torch import Tensor

from autoseg.architecture import load_architecture
from autoseg.cli import OK, read_request, run_command
from autoseg.config import RETRAIN_PRESETS
from autoseg.config.ranges import Count
from autoseg.data import SegmentationDataset, build_dataset
from autoseg.networks import build_network
from autoseg.runs import seed_everything
from autoseg.training import retraining_batches, segmentation_loss
from autoseg.training.compiled import ForwardPass, compiled
from autoseg.training.optimisers import build_optimizer

PROG = "python benchmarks/training_step.py"

_PRESET = RETRAIN_PRESETS["tiny"]
_FORMATS = (torch.contiguous_format, torch.channels_last)
_PUBLISHED = "autodeeplab_paper"


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRequest:
    """What a user can say to `python benchmarks/training_step.py`."""

    network: tuple[str, ...] = (
        *(_PUBLISHED, "icnet_resnet50", "deeplabv3plus_resnet101", "duc_hdc_resnet101"),
        *("deeplabv3_mobilenet_v2", "pspnet_resnet50", "unet", "segnet_vgg16", "fc_densenet67"),
    )
    """Networks by name, and files of architectures (.json); autodeeplab_paper is Auto-DeepLab's
    published one."""
    compile: bool = False
    """Time compiled steps as well, of which the first takes minutes."""
    repeats: Count = 5
    """Counted steps of each network and form, after two that warm up."""
    out: Path = Path("results/training_step/training_step.csv")
    """CSV file, written anew after every network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRow:
    """What a step of a network costs in processor time."""

    network: str
    contiguous_ms: float
    channels_last_ms: float
    ratio: float
    """Median of contiguous over channels-last of the same turn."""
    num_steps: int
    compiled_ms: float | None = None
    """Channels-last, compiled."""
    compiled_ratio: float | None = None
    """Median of channels-last over compiled of the same turn."""
    compiling_s: float | None = None
    """What the first compiled step took, the C++ compiler included."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        StepRequest,
        list(sys.argv[1:] if argv is None else argv),
        prog=PROG,
        description="Time training steps with maps contiguous, channels-last and compiled.",
        example=f"{PROG} --network unet icnet_resnet50",
    )
    print(f"training_step: {torch.get_num_threads()} threads")
    rows: list[StepRow] = []
    for name in request.network:
        row = measure(name, repeats=request.repeats, compiles=request.compile)
        rows.append(row)
        write_rows(rows, request.out)
        print(
            f"{row.network:25} {row.contiguous_ms:9.1f} ms contiguous  "
            f"{row.channels_last_ms:9.1f} ms channels-last  {row.ratio:5.2f} times"
        )
        if request.compile:
            print(
                f"{'':25} {row.compiled_ms:9.1f} ms compiled in {row.compiling_s:.0f} s  "
                f"{row.compiled_ratio:5.2f} times"
            )
    print(f"written: {request.out}")
    return OK


def measure(name: str, *, repeats: int, compiles: bool = False) -> StepRow:
    """Time steps of a network, one form after the other in every turn."""
    dataset = build_dataset("synthetic", split="train")
    steps = [_Step(name, dataset, memory_format) for memory_format in _FORMATS]
    batches = retraining_batches(dataset, _PRESET)
    times, compiling_s = [], None
    with ExitStack() as stack:
        if compiles:
            last = _Step(name, dataset, torch.channels_last)
            last.forward = stack.enter_context(compiled(last.network, device=torch.device("cpu")))
            steps.append(last)
            compiling_s = _seconds_with_compiler(partial(last, *next(batches)))
        for turn in range(repeats + 2):
            images, target = next(batches)
            taken = [_milliseconds(partial(step, images, target)) for step in steps]
            if turn >= 2:
                times.append(taken)
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    return StepRow(
        network=name,
        contiguous_ms=medians[0],
        channels_last_ms=medians[1],
        ratio=statistics.median(turn[0] / turn[1] for turn in times),
        num_steps=len(times),
        compiled_ms=medians[2] if compiles else None,
        compiled_ratio=statistics.median(turn[1] / turn[2] for turn in times) if compiles else None,
        compiling_s=compiling_s,
    )


class _Step:
    """A network and its optimizer; a call is a step."""

    def __init__(
        self, name: str, dataset: SegmentationDataset, memory_format: torch.memory_format
    ) -> None:
        seed_everything(0)
        is_architecture = name == _PUBLISHED or name.endswith(".json")
        self.network = build_network(
            load_architecture(name) if is_architecture else name,
            num_classes=dataset.num_classes,
            width=_PRESET.width,
            filter_multiplier=_PRESET.filter_multiplier if is_architecture else None,
        ).train()
        self.network.to(memory_format=memory_format)  # pyright: ignore[reportCallIssue]
        self.forward: ForwardPass = self.network
        self.optimizer = build_optimizer(self.network, _PRESET)
        self.ignore_index = dataset.ignore_index

    def __call__(self, images: Tensor, target: Tensor) -> None:
        output = self.forward(images)
        self.optimizer.zero_grad()
        segmentation_loss(output, target, ignore_index=self.ignore_index).backward()
        self.optimizer.step()


def _seconds_with_compiler(work: Callable[[], None]) -> float:
    """Return the processor time of this process and those that it waits for."""
    begin = os.times()
    work()
    return sum(after - before for after, before in zip(os.times()[:4], begin[:4], strict=True))


def _milliseconds(work: Callable[[], None]) -> float:
    begin = time.process_time()
    work()
    return 1000 * (time.process_time() - begin)


if __name__ == "__main__":
    sys.exit(run_command(main))
