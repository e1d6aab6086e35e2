"""Check that every network learns a few images by heart: `python benchmarks/overfit.py --help`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overfit_check.figure import draw_overfit
from overfit_check.grid import grid_miou
from overfit_check.report import check_markdown, describe_check, write_check
from overfit_check.setting import NAMES, OverfitRow
from overfit_check.training import (
    measured_row,
    request_of,
    train_and_score,
    training_images,
    training_logits,
)

from autoseg.cli import FAILED, INTERRUPTED, OK, read_request, resolve_device, run_command
from autoseg.errors import UsageError, unknown_name
from autoseg.reporting.figure import save_figure
from autoseg.runs import Progress
from autoseg.trained import RetrainedNetwork

PROG = "python benchmarks/overfit.py"
GRIDS = ((8, 6), (8, 4), (16, 4), (32, 4))
"""Strides, and factors on the images' sides, whose best possible mIoU is told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OverfitRequest:
    """What a user can say to `python benchmarks/overfit.py`."""

    networks: tuple[str, ...] = ()
    """Networks to check; none: every fixed one, and the published Auto-DeepLab."""
    num_images: int = 4
    """Images to learn. With fewer, batch norm over a pooled map of one position trains with other
    variances (of n values) than it keeps for prediction (of n - 1)."""
    image_size: tuple[int, int] = (18, 24)
    """Height and width of the images' labels, in pixels; each network sees them enlarged."""
    num_steps: int = 300
    """Steps for each network."""
    learning_rate: float = 0.4
    """Initial learning rate; networks without batch norm take half of it."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient: networks without batch norm diverge otherwise."""
    width: float = 0.125
    """Factor on the channels of the fixed networks, and of the architecture's stem and head."""
    filter_multiplier: int = 8
    """F of the architecture's cells."""
    goal: float = 0.95
    """Training mIoU from which a network passes."""
    seed: int = 0
    """Seed of the weights."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    runs: Path = Path("runs/overfit")
    """Folder of the run folders; networks that are finished there are not trained again."""
    out: Path = Path("results/overfit")
    """Folder for overfit.csv, overfit.md, overfit.json, overfit.png and overfit.svg."""

    def __post_init__(self) -> None:
        for name in self.networks:
            if name not in NAMES:
                raise unknown_name("network", name, NAMES)
        if not 0 < self.goal <= 1:
            raise UsageError(f"--goal {self.goal}: a mean IoU lies in (0, 1].")

    def settings(self) -> dict[str, Any]:
        """Return the fields of a retraining's request that all networks share, by name."""
        return {
            "overfit": self.num_images,
            "preset": "tiny",
            "image_size": self.image_size,
            "num_steps": self.num_steps,
            "validate_every": self.num_steps,
            "batch_size": self.num_images,
            "learning_rate": self.learning_rate,
            "gradient_clip": self.gradient_clip,
            "width": self.width,
            "filter_multiplier": self.filter_multiplier,
            "seed": self.seed,
            "device": self.device,
        }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    request = read_request(
        OverfitRequest,
        arguments,
        prog=PROG,
        description=(
            "Train every network on a few images, narrow, and score it on the same images: one "
            "that cannot learn them by heart has a fault. A call that was stopped goes on "
            "when it is given again."
        ),
        example=f"{PROG}\n{PROG} --networks unet icnet_resnet50 --out results/some",
    )
    command = [*PROG.split(), *arguments]
    rows = check_networks(request, command=command)
    if rows is None:
        print("stopped, saved. Go on: give the same command again")
        return INTERRUPTED
    written = write_results(request, rows, command=command)
    print(f"\nwritten: {' '.join(str(path) for path in written)}")
    return OK if all(row.is_passed for row in rows) else FAILED


def check_networks(request: OverfitRequest, *, command: Sequence[str]) -> list[OverfitRow] | None:
    """Train and score one network after the other; None if it was asked to stop."""
    settings = request.settings()
    rows: list[OverfitRow] = []
    names = tuple(dict.fromkeys(request.networks)) or NAMES
    with Progress(len(names), description="overfit", unit="network", interval_s=0) as progress:
        for name in names:
            folder, wanted = request.runs / name, request_of(name, settings)
            row = measured_row(folder, wanted, goal=request.goal)
            if row is None:
                row = train_and_score(folder, wanted, command=command, goal=request.goal)
            if row is None:
                return None
            rows.append(row)
            progress.update(network=name, miou=float("nan") if row.miou is None else row.miou)
    return rows


def write_results(
    request: OverfitRequest, rows: Sequence[OverfitRow], *, command: Sequence[str]
) -> list[Path]:
    """Write table, record and picture, and print the table."""
    settings = request.settings()
    images = training_images(request_of(NAMES[0], settings))
    run = describe_check(
        command,
        settings,
        num_classes=images.num_classes,
        device=str(resolve_device(request.device)),
        goal=request.goal,
        grid_mious={
            f"{stride / scale:.3g}": grid_miou(
                images, range(len(images)), stride=stride, image_scale=scale
            )
            for stride, scale in GRIDS
        },
    )
    written = write_check(request.out, rows, run)
    preds, titles = {}, {}
    for row in rows:
        if row.miou is not None:
            folder = request.runs / row.network / row.network
            logits = training_logits(RetrainedNetwork.open(folder), images)
            preds[row.network] = logits.argmax(dim=1)
            titles[row.network] = f"{row.network}, {100 * row.miou:.1f}"
    written += save_figure(draw_overfit(images, preds, titles=titles), request.out / "overfit")
    print(check_markdown(rows, run))
    return written


if __name__ == "__main__":
    run_command(main)
