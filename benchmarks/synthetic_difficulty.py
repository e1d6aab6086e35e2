"""Measure what decides a score on the synthetic dataset.

Four predictors are fitted on train and scored on val, with the project's confusion matrix: a
constant class, the colour of each pixel, its colour and its place, and a small network that sees
shapes. The dataset is worth searching on only if the network is far ahead of the other three.

    python benchmarks/synthetic_difficulty.py --out results/synthetic
"""

import dataclasses
import json
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.atomic import atomic_write
from autoseg.cli import read_request, run_command
from autoseg.data import (
    Augmentation,
    SegmentationDataset,
    build_dataset,
    normalise,
    training_batches,
)
from autoseg.metrics import ConfusionMatrix
from autoseg.reporting.samples import draw_samples
from autoseg.runs import Progress, describe_environment

_BLOCK = 4  # pixels; divides the default size
_PRIOR_POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class DifficultyRequest:
    """Settings of the measurement."""

    out: Path = Path("results/synthetic")
    """Folder for difficulty.csv, difficulty.md, difficulty.json and samples.png."""
    seed: int = 0
    """Seed of the scenes, and of the first network; the others count on from it."""
    num_train: int = 512
    """Scenes to fit on."""
    num_val: int = 64
    """Scenes to score on."""
    num_networks: int = 3
    """Networks trained, each with its own seed."""
    num_steps: int = 1500
    """Training steps of each network."""
    batch_size: int = 8
    """Images a step, at full size."""
    width: int = 48
    """Channels of the network's hidden layers; 48 is 114 thousand parameters."""
    learning_rate: float = 5e-3
    """Peak of AdamW's learning rate, which rises for a tenth of the steps and falls to 0."""
    num_samples: int = 8
    """Samples in the picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One row of the table."""

    predictor: str
    """What it sees."""
    mean_iou: float
    """Mean IoU on val, in [0, 1]; of several networks, their mean."""
    spread: float
    """Standard deviation over the networks; 0 for a predictor without randomness."""
    pixel_accuracy: float
    """Share of val pixels, in [0, 1]."""
    num_params: int
    """Trained numbers: histogram cells or weights."""
    cpu_seconds: float
    """Processor time to fit one of them, seconds, summed over the cores."""
    class_iou: tuple[float, ...]
    """IoU of each class; of several networks, that of the first."""


class SmallNetwork(nn.Module):
    """Five dilated 3x3 convolutions on blocks of 4 x 4 pixels, decoded to pixels by a shuffle."""

    def __init__(self, *, num_classes: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.PixelUnshuffle(_BLOCK)]  # (3, H, W) -> (48, H/4, W/4)
        num_inputs = 3 * _BLOCK**2
        for dilation in (1, 1, 2, 4, 1):
            layers += [
                nn.Conv2d(num_inputs, width, 3, padding=dilation, dilation=dilation, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            num_inputs = width
        layers += [nn.Conv2d(width, num_classes * _BLOCK**2, 1), nn.PixelShuffle(_BLOCK)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Classify: images float (N, 3, H, W), normalised -> logits (N, K, H, W)."""
        return self.layers(images)


def main(argv: list[str] | None = None) -> None:
    """Measure and write the table, the record and the picture."""
    settings = read_request(
        DifficultyRequest,
        argv,
        prog="python benchmarks/synthetic_difficulty.py",
        description="Measure how hard the synthetic dataset is without shapes, and with them.",
        example="python benchmarks/synthetic_difficulty.py --out results/synthetic",
    )
    train = build_dataset("synthetic", split="train", length=settings.num_train, seed=settings.seed)
    val = build_dataset("synthetic", split="val", length=settings.num_val, seed=settings.seed)
    train_images, train_targets = _load(train, "drawing train")
    val_images, val_targets = _load(val, "drawing val")

    scores = [score_constant(train_targets, val_targets, val)]
    for predictor, cells in (
        ("colour of the pixel", _colour_cells),
        ("colour and place of the pixel", _colour_and_place_cells),
    ):
        scores.append(
            score_histogram(
                predictor, cells(train_images), train_targets, cells(val_images), val_targets, val
            )
        )
    scores.append(score_networks(settings, train, val, val_images, val_targets))
    _write(settings, scores, train, val, argv)


def score_constant(train_targets: Tensor, val_targets: Tensor, val: SegmentationDataset) -> Score:
    """Score the one class that has the highest IoU on train when it is predicted everywhere."""
    start = time.process_time()
    # Its IoU is its share of the pixels, so the most frequent class is the best one.
    best = int(_count_classes(train_targets, val).argmax())
    seconds = time.process_time() - start
    confusion = ConfusionMatrix(val.num_classes, val.ignore_index)
    confusion.update(torch.full_like(val_targets, best), val_targets)
    return _score(f"constant: {val.class_names[best]}", [confusion], 1, seconds)


def score_histogram(
    predictor: str,
    train_cells: Tensor,
    train_targets: Tensor,
    val_cells: Tensor,
    val_targets: Tensor,
    val: SegmentationDataset,
) -> Score:
    """Score the Bayes classifier that knows the cell of a histogram into which a pixel falls.

    The prior of the classes is raised to a power between 0 (each class alike, which favours the
    mean IoU) and 1 (as frequent as on train, which favours the accuracy). The best power is chosen
    on val: the score is an upper bound for this kind of classifier.
    """
    start = time.process_time()
    num_cells = int(train_cells.max()) + 1
    valid = train_targets != val.ignore_index
    pairs = train_cells[valid] * val.num_classes + train_targets[valid]
    counts = torch.bincount(pairs, minlength=num_cells * val.num_classes).double()
    counts = counts.view(num_cells, val.num_classes) + 1e-3  # an empty cell says nothing
    frequency = counts.sum(0)
    seconds = time.process_time() - start
    candidates = []
    for power in _PRIOR_POWERS:
        table = (counts / frequency ** (1 - power)).argmax(1)
        confusion = ConfusionMatrix(val.num_classes, val.ignore_index)
        confusion.update(table[val_cells.clamp(max=num_cells - 1)], val_targets)
        candidates.append(confusion)
    best = max(candidates, key=ConfusionMatrix.mean_iou)
    return _score(predictor, [best], num_cells * val.num_classes, seconds)


def score_networks(
    settings: DifficultyRequest,
    train: SegmentationDataset,
    val: SegmentationDataset,
    val_images: Tensor,
    val_targets: Tensor,
) -> Score:
    """Train the small network from several seeds and score each one."""
    confusions, seconds, num_params = [], [], 0
    for seed in range(settings.seed, settings.seed + settings.num_networks):
        start = time.process_time()
        network = train_network(settings, train, seed=seed)
        seconds.append(time.process_time() - start)
        num_params = sum(parameter.numel() for parameter in network.parameters())
        confusion = ConfusionMatrix(val.num_classes, val.ignore_index)
        with torch.inference_mode():
            for images, targets in zip(val_images.split(16), val_targets.split(16), strict=True):
                confusion.update(network(normalise(images)).argmax(1), targets)
        confusions.append(confusion)
    return _score("small network", confusions, num_params, statistics.mean(seconds))


def train_network(
    settings: DifficultyRequest, train: SegmentationDataset, *, seed: int
) -> SmallNetwork:
    """Train one small network; returns it in eval mode."""
    torch.manual_seed(seed)
    network = SmallNetwork(num_classes=train.num_classes, width=settings.width)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.num_steps, pct_start=0.1
    )
    batches = training_batches(
        train,
        augmentation=Augmentation(crop_size=train.largest_size, scale_range=(0.75, 1.5)),
        batch_size=settings.batch_size,
        seed=seed,
    )
    with Progress(settings.num_steps, description=f"network {seed}") as progress:
        for _ in range(settings.num_steps):
            images, targets = next(batches)
            loss = F.cross_entropy(network(images), targets, ignore_index=train.ignore_index)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            progress.update(loss=loss.item())
    return network.eval()


def _load(dataset: SegmentationDataset, description: str) -> tuple[Tensor, Tensor]:
    """Draw a whole split: images uint8 (N, 3, H, W) and targets int64 (N, H, W)."""
    samples = []
    with Progress(len(dataset), description=description, unit="image") as progress:
        for index in range(len(dataset)):
            samples.append(dataset[index])
            progress.update()
    images = torch.stack([sample.image for sample in samples])
    return images, torch.stack([sample.target for sample in samples])


def _colour_cells(images: Tensor, num_levels: int = 24) -> Tensor:
    """Number each pixel by its colour: uint8 (N, 3, H, W) -> int64 (N, H, W)."""
    level = images.long() * num_levels // 256
    return (level[:, 0] * num_levels + level[:, 1]) * num_levels + level[:, 2]


def _colour_and_place_cells(images: Tensor) -> Tensor:
    """Number each pixel by a coarser colour and its place on a grid of 12 x 8."""
    colour = _colour_cells(images, num_levels=8)
    height, width = images.shape[2:]
    row = torch.arange(height) * 12 // height
    column = torch.arange(width) * 8 // width
    return (colour * 12 + row[:, None]) * 8 + column


def _count_classes(targets: Tensor, dataset: SegmentationDataset) -> Tensor:
    """Count the pixels of each class, int64 (K,)."""
    valid = targets[targets != dataset.ignore_index]
    return torch.bincount(valid, minlength=dataset.num_classes)


def _score(
    predictor: str, confusions: Sequence[ConfusionMatrix], num_params: int, seconds: float
) -> Score:
    means = [confusion.mean_iou() for confusion in confusions]
    return Score(
        predictor=predictor,
        mean_iou=statistics.mean(means),
        spread=statistics.stdev(means) if len(means) > 1 else 0.0,
        pixel_accuracy=statistics.mean(confusion.pixel_accuracy() for confusion in confusions),
        num_params=num_params,
        cpu_seconds=seconds,
        class_iou=tuple(confusions[0].iou().tolist()),
    )


def _write(
    settings: DifficultyRequest,
    scores: list[Score],
    train: SegmentationDataset,
    val: SegmentationDataset,
    argv: list[str] | None,
) -> None:
    rows = []
    for score in scores:
        row = dataclasses.asdict(score)
        classes = zip(val.class_names, row.pop("class_iou"), strict=True)
        rows.append(row | {f"iou_{name}": iou for name, iou in classes})
    table = pd.DataFrame(rows)
    arguments = sys.argv[1:] if argv is None else argv
    record = {
        "command": shlex.join(["python", "benchmarks/synthetic_difficulty.py", *arguments]),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "config": dataclasses.asdict(settings) | {"out": str(settings.out)},
        "dataset": {
            "num_train": len(train),
            "num_val": len(val),
            "image_size": list(train.largest_size),
            "class_share": _class_share(val),
        },
        **describe_environment(),
        "scores": rows,
    }
    settings.out.mkdir(parents=True, exist_ok=True)
    texts = {
        "difficulty.csv": table.to_csv(index=False, float_format="%.4f"),
        "difficulty.json": json.dumps(record, indent=2) + "\n",
        "difficulty.md": _markdown(table, record),
    }
    for name, text in texts.items():
        atomic_write(settings.out / name, text.encode())
    figure = draw_samples(train, range(min(settings.num_samples, len(train))))
    atomic_write(settings.out / "samples.png", lambda file: figure.savefig(file, dpi=110))
    print(_markdown(table, record))


def _class_share(dataset: SegmentationDataset) -> dict[str, float]:
    """Share of each class among the labelled pixels of a split."""
    targets = torch.stack([dataset[index].target for index in range(len(dataset))])
    counts = _count_classes(targets, dataset)
    shares = (counts / counts.sum()).tolist()
    return {name: round(share, 4) for name, share in zip(dataset.class_names, shares, strict=True)}


def _markdown(table: pd.DataFrame, record: dict[str, Any]) -> str:
    git, hardware, versions = record["git"], record["hardware"], record["versions"]
    commit = "unknown"
    if git is not None:
        commit = git["commit"] + (" with changes" if git["dirty"] else "")
    shown = table[
        ["predictor", "mean_iou", "spread", "pixel_accuracy", "num_params", "cpu_seconds"]
    ]
    classes = table.set_index("predictor").filter(like="iou_")
    classes = classes.rename(columns=lambda name: name.removeprefix("iou_")).T
    classes.insert(0, "share", pd.Series(record["dataset"]["class_share"]))
    dataset = record["dataset"]
    height, width = dataset["image_size"]
    return "\n".join(
        [
            "# How hard the synthetic dataset is",
            "",
            f"Fitted on {dataset['num_train']} train scenes, scored on {dataset['num_val']} val "
            f"scenes of {height} x {width}. The mean IoU of the small network is the mean of "
            f"{record['config']['num_networks']} seeds; spread is their standard deviation.",
            "",
            shown.to_markdown(index=False, floatfmt=".3f", intfmt=","),
            "",
            "IoU by class, and the share of each class among the pixels of val:",
            "",
            classes.to_markdown(floatfmt=".3f"),
            "",
            f"`{record['command']}`, {record['date']}, commit {commit}, torch {versions['torch']}, "
            f"numpy {versions['numpy']}, Python {versions['python']}, {hardware['cpu']}, "
            f"{hardware['num_usable_cores']} cores.",
            "",
        ]
    )


if __name__ == "__main__":
    run_command(main)
