"""Measure what a training step costs in each memory format: `python benchmarks/training_step.py`.

The formats take turns, step by step, on the same batches of the embedded dataset, at the tiny
preset's sizes. Times are the processor's, all threads together, which other work on the machine
hardly changes. Every row is written when it is known.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from csv_rows import write_rows
from torch import Tensor

from autoseg.architecture import Architecture
from autoseg.cli import OK, read_request, run_command
from autoseg.config import RETRAIN_PRESETS
from autoseg.config.ranges import Count
from autoseg.data import SegmentationDataset, build_dataset
from autoseg.networks import build_network
from autoseg.runs import seed_everything
from autoseg.training import retraining_batches, segmentation_loss
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
    """Networks by name; autodeeplab_paper is Auto-DeepLab's published architecture."""
    repeats: Count = 5
    """Counted steps of each network and format, after two that warm up."""
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        StepRequest,
        list(sys.argv[1:] if argv is None else argv),
        prog=PROG,
        description="Time training steps with maps contiguous and channels-last.",
        example=f"{PROG} --network unet icnet_resnet50",
    )
    print(f"training_step: {torch.get_num_threads()} threads")
    rows: list[StepRow] = []
    for name in request.network:
        rows.append(measure(name, repeats=request.repeats))
        write_rows(rows, request.out)
        print(
            f"{name:25} {rows[-1].contiguous_ms:9.1f} ms contiguous  "
            f"{rows[-1].channels_last_ms:9.1f} ms channels-last  {rows[-1].ratio:5.2f} times"
        )
    print(f"written: {request.out}")
    return OK


def measure(name: str, *, repeats: int) -> StepRow:
    """Time steps of a network, one format after the other in every turn."""
    dataset = build_dataset("synthetic", split="train")
    steps = [_Step(name, dataset, memory_format) for memory_format in _FORMATS]
    batches = retraining_batches(dataset, _PRESET)
    times = []
    for turn in range(repeats + 2):
        images, target = next(batches)
        taken = [_milliseconds(partial(step, images, target)) for step in steps]
        if turn >= 2:
            times.append(taken)
    contiguous, channels_last = (statistics.median(column) for column in zip(*times, strict=True))
    return StepRow(
        network=name,
        contiguous_ms=contiguous,
        channels_last_ms=channels_last,
        ratio=statistics.median(before / after for before, after in times),
        num_steps=len(times),
    )


class _Step:
    """A network and its optimizer; a call is a step."""

    def __init__(
        self, name: str, dataset: SegmentationDataset, memory_format: torch.memory_format
    ) -> None:
        seed_everything(0)
        is_published = name == _PUBLISHED
        self.network = build_network(
            Architecture.load(name) if is_published else name,
            num_classes=dataset.num_classes,
            width=_PRESET.width,
            filter_multiplier=_PRESET.filter_multiplier if is_published else None,
        ).train()
        self.network.to(memory_format=memory_format)  # pyright: ignore[reportCallIssue]
        self.optimizer = build_optimizer(self.network, _PRESET)
        self.ignore_index = dataset.ignore_index

    def __call__(self, images: Tensor, target: Tensor) -> None:
        output = self.network(images)
        self.optimizer.zero_grad()
        segmentation_loss(output, target, ignore_index=self.ignore_index).backward()
        self.optimizer.step()


def _milliseconds(work: Callable[[], None]) -> float:
    begin = time.process_time()
    work()
    return 1000 * (time.process_time() - begin)


if __name__ == "__main__":
    sys.exit(run_command(main))
