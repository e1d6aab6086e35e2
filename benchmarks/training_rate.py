"""Measure how many images a second a retraining takes: `python benchmarks/training_rate.py --help`.

Whole steps of a retraining are timed, from the augmented batch to the optimizer, at the sizes of
real trainings: by precision, kernel by kernel or compiled, with images on the device or from
loading processes. Every row is written when it is known, and a call that was stopped goes on with
what its table lacks.
"""

import json
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal

import torch
from csv_rows import write_rows
from earlier_calls import calls_so_far
from gpu_kernels import count_kernels
from torch import Tensor, nn

from autoseg.architecture import load_architecture
from autoseg.atomic import atomic_write
from autoseg.cli import FAILED, OK, read_request, resolve_device, run_command
from autoseg.config import RETRAIN_PRESETS, Precision, RetrainPreset
from autoseg.config.ranges import Count, Factor
from autoseg.contract import FollowsProgress
from autoseg.cost import PeakMemory, count_macs, synchronised_clock
from autoseg.data import SegmentationDataset, build_dataset, stay_on_device
from autoseg.networks import build_network
from autoseg.reporting.tables import Column, to_markdown
from autoseg.runs import Progress, seed_everything
from autoseg.runs.environment import processor_name
from autoseg.training import retraining_batches
from autoseg.training.accumulation import add_gradients
from autoseg.training.chosen_loss import PLAIN, build_loss
from autoseg.training.compiled import CompilationError, ForwardPass, compiled
from autoseg.training.optimisers import build_optimizer
from autoseg.training.precision import ResolvedPrecision, resolve_precision, tensor_float
from autoseg.upload import to_device

PROG = "python benchmarks/training_rate.py"

Form = Literal["eager", "compiled"]
Images = Literal["resident", "loaded"]

_PUBLISHED = "autodeeplab_paper"
_NUM_IMAGES = 64
_RESIDENT_GIB = 8.0
_NUM_WARM_UP = 3
_BACKWARD_FACTOR = 3
"""Work of a step over that of a forward pass: the gradients of weights and of maps take as much
each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RateRequest:
    """What a user can say to `python benchmarks/training_rate.py`."""

    networks: tuple[str, ...] = ("deeplabv3plus_resnet101", _PUBLISHED)
    """Networks by name, and files of architectures (.json); autodeeplab_paper is Auto-DeepLab's
    published one."""
    precision: tuple[Precision, ...] = ("auto",)
    """auto, fp32, tf32 or bf16; a row for each."""
    forms: tuple[Form, ...] = ("eager", "compiled")
    """eager runs kernel by kernel; compiled is retrain --compile."""
    images: tuple[Images, ...] = ("resident", "loaded")
    """resident: on the device, and augmented there (retrain --resident-gib); loaded: by
    --num-workers processes."""
    num_workers: Count = 8
    """Processes that load images."""
    batch_size: Count = 8
    """Images a step."""
    crop_size: tuple[Count, ...] = (360, 480)
    """Height and width of the crops and of the images, which are synthetic scenes."""
    width: Factor = 1.0
    """Factor on the channels of fixed networks."""
    filter_multiplier: Count = 20
    """F of an architecture's cells."""
    steps: Count = 20
    """Steps of a round; the device is waited for at its end alone."""
    rounds: Count = 5
    """Counted rounds of each row, after three steps that warm up."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    out: Path = Path("results/training_rate")
    """Folder for training_rate.csv, .md and .json."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RateRow:
    """How fast one network trains in one form; None where that is not known."""

    network: str
    precision: ResolvedPrecision
    form: Form
    images: Images
    processor: str
    batch_size: int
    height: int
    image_width: int
    """Width of the crops, in pixels."""
    width: float
    filter_multiplier: int
    images_per_s: float | None = None
    """Median over the rounds."""
    slowest_images_per_s: float | None = None
    fastest_images_per_s: float | None = None
    tflop_per_s: float | None = None
    """Rate of the convolutions and products of forward and backward pass, each counted once."""
    peak_mib: float | None = None
    """Most memory of a step beyond weights and images."""
    num_kernels: int | None = None
    """Kernels that a step launches on a GPU."""
    first_step_s: float | None = None
    """The first step, compiling included."""
    failure: str | None = None
    """Why there is no figure."""


COLUMNS = (
    Column(key="network", heading="Network"),
    Column(key="precision", heading="Precision"),
    Column(key="form", heading="Form"),
    Column(key="images", heading="Images"),
    Column(key="images_per_s", heading="Images a second", kind="number", unit="median"),
    Column(key="slowest_images_per_s", heading="Slowest", kind="number", unit="images a second"),
    Column(key="fastest_images_per_s", heading="Fastest", kind="number", unit="images a second"),
    Column(key="tflop_per_s", heading="TFLOP/s", kind="number"),
    Column(key="peak_mib", heading="Peak memory", kind="number", unit="MiB"),
    Column(key="num_kernels", heading="Kernels a step", kind="exact"),
    Column(key="first_step_s", heading="First step", kind="number", unit="s"),
    Column(key="failure", heading="Not measured because"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    request = read_request(
        RateRequest,
        arguments,
        prog=PROG,
        description="Time steps of a retraining at the sizes of real trainings.",
        example=f"{PROG} --device cuda --precision fp32 tf32 bf16",
    )
    device = resolve_device(request.device)
    record = request.out / "training_rate.json"
    calls = calls_so_far(record, [*PROG.split(), *arguments])
    rows = load_rows(record)
    measured = {_setting_of(row) for row in rows}
    wanted = [row for row in _wanted(request, device) if _setting_of(row) not in measured]
    with Progress(len(wanted), description="training rate", unit="row") as progress:
        for setting in wanted:
            progress.write(" ".join([setting.network, *_form_of(setting)]))
            rows.append(measure(setting, request, device))
            _write(request.out, rows, calls)
            progress.update()
    print(report(rows))
    print(
        f"written: {request.out / 'training_rate.csv'} {request.out / 'training_rate.md'} {record}"
    )
    return FAILED if wanted and all(row.failure for row in rows) else OK


def _wanted(request: RateRequest, device: torch.device) -> Iterator[RateRow]:
    """Give each row that is asked for, without its figures."""
    precisions: list[ResolvedPrecision] = [
        resolve_precision(each, device) for each in request.precision
    ]
    height, image_width = request.crop_size
    for network, precision, form, images in product(
        request.networks, dict.fromkeys(precisions), request.forms, request.images
    ):
        yield RateRow(
            network=network,
            precision=precision,
            form=form,
            images=images,
            processor=processor_name(device),
            batch_size=request.batch_size,
            height=height,
            image_width=image_width,
            width=request.width,
            filter_multiplier=request.filter_multiplier,
        )


def _form_of(row: RateRow) -> tuple[str, ...]:
    return row.precision, row.form, row.images


def _setting_of(row: RateRow) -> tuple[object, ...]:
    """Return what a row was measured of."""
    sizes = (row.batch_size, row.height, row.image_width, row.width, row.filter_multiplier)
    return row.network, *_form_of(row), row.processor, *sizes


def load_rows(record: Path) -> list[RateRow]:
    """Read the rows of earlier calls; those without a figure are measured again."""
    if not record.exists():
        return []
    rows = [RateRow(**row) for row in json.loads(record.read_text(encoding="utf-8"))["rows"]]
    return [row for row in rows if row.failure is None]


def _write(folder: Path, rows: Sequence[RateRow], calls: Sequence[object]) -> None:
    write_rows(rows, folder / "training_rate.csv")
    record = {"calls": calls, "rows": [asdict(row) for row in rows]}
    atomic_write(folder / "training_rate.json", (json.dumps(record, indent=1) + "\n").encode())
    atomic_write(folder / "training_rate.md", report(rows).encode())


def report(rows: Sequence[RateRow]) -> str:
    """Write a table for each processor and size."""
    blocks = ["# How fast a retraining is"]
    titles = dict.fromkeys(_title(row) for row in rows)
    for title in titles:
        here = [asdict(row) for row in rows if _title(row) == title]
        columns = [each for each in COLUMNS if any(row[each.key] is not None for row in here)]
        blocks += [f"## {title}", to_markdown(here, columns)]
    return "\n\n".join(blocks) + "\n"


def _title(row: RateRow) -> str:
    return f"{row.processor}, {row.batch_size} crops of {row.height} x {row.image_width}"


def measure(setting: RateRow, request: RateRequest, device: torch.device) -> RateRow:
    """Time the steps of one row; a row that cannot be measured says why."""
    try:
        return _measured(setting, request, device)
    except (CompilationError, torch.OutOfMemoryError) as error:
        return replace(setting, failure=str(error).splitlines()[0])


def _measured(setting: RateRow, request: RateRequest, device: torch.device) -> RateRow:
    config = replace(
        RETRAIN_PRESETS["paper"],
        batch_size=setting.batch_size,
        crop_size=(setting.height, setting.image_width),
        num_workers=request.num_workers if setting.images == "loaded" else 0,
        resident_gib=_RESIDENT_GIB if setting.images == "resident" else 0.0,
        precision=setting.precision,
        width=setting.width,
        filter_multiplier=setting.filter_multiplier,
    )
    dataset = build_dataset(
        "synthetic",
        split="train",
        image_size=(setting.height, setting.image_width),
        length=_NUM_IMAGES,
    )
    seed_everything(config.seed)
    network = _network(setting, config, num_classes=dataset.num_classes)
    macs = count_macs(network, (setting.height, setting.image_width)).macs
    network.to(device, memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
    if isinstance(network, FollowsProgress):
        network.set_training_progress(torch.zeros((), device=device))
    now = synchronised_clock(device)
    compiling = compiled(network, device=device) if setting.form == "compiled" else None
    with compiling or nullcontext(network) as forward:
        step = _Step(forward, network, config, dataset, device)
        step.fetch()  # the first batch decodes all images, which is no part of a step
        memory, begin = PeakMemory(str(device)), now()
        step()
        first_step_s = now() - begin
        for _ in range(_NUM_WARM_UP):
            step()
        seconds = [_seconds(step, request.steps, now) for _ in range(request.rounds)]
        peak_mib = memory.read_mib()
        num_kernels = count_kernels(step, device)
    rates = [setting.batch_size * request.steps / each for each in seconds]
    rate = statistics.median(rates)
    return replace(
        setting,
        images_per_s=rate,
        slowest_images_per_s=min(rates),
        fastest_images_per_s=max(rates),
        tflop_per_s=2 * _BACKWARD_FACTOR * macs * rate / 1e12,
        peak_mib=peak_mib,
        num_kernels=num_kernels,
        first_step_s=first_step_s,
    )


def _network(setting: RateRow, config: RetrainPreset, *, num_classes: int) -> nn.Module:
    name = setting.network
    is_architecture = name == _PUBLISHED or name.endswith(".json")
    return build_network(
        load_architecture(name) if is_architecture else name,
        num_classes=num_classes,
        width=config.width,
        filter_multiplier=config.filter_multiplier if is_architecture else None,
    )


def _seconds(step: Callable[[], None], num_steps: int, now: Callable[[], float]) -> float:
    """Time a round of steps; what is launched is waited for at its end alone."""
    begin = now()
    for _ in range(num_steps):
        step()
    return now() - begin


class _Step:
    """A step of a retraining, its batch included, as `autoseg.training.loop` makes it."""

    def __init__(
        self,
        forward: ForwardPass,
        network: nn.Module,
        config: RetrainPreset,
        dataset: SegmentationDataset,
        device: torch.device,
    ) -> None:
        self._forward, self._config, self._device = forward, config, device
        self._ignore_index = dataset.ignore_index
        self._precision: ResolvedPrecision = resolve_precision(config.precision, device)
        self._optimizer = build_optimizer(network, config)
        self._loss = build_loss(PLAIN, device=device)
        near = stay_on_device(dataset, device, max_gib=config.resident_gib)
        self._batches = retraining_batches(near, config)

    def fetch(self) -> tuple[Tensor, Tensor]:
        images, target = next(self._batches)
        return to_device(images, self._device), to_device(target, self._device)

    def __call__(self) -> None:
        images, target = self.fetch()
        with tensor_float(self._precision):
            self._optimizer.zero_grad()
            add_gradients(
                self._forward,
                images,
                target,
                num_parts=1,
                loss=self._loss,
                class_weights=None,
                ignore_index=self._ignore_index,
                precision=self._precision,
            )
        self._optimizer.step()


if __name__ == "__main__":
    run_command(main)
