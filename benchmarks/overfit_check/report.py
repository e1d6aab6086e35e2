"""Rows as tables, and everything that a reader needs to believe them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autoseg.atomic import atomic_write
from autoseg.config import RETRAIN_PRESETS
from autoseg.reporting.publishing import published_command
from autoseg.reporting.tables import Column, to_csv, to_markdown
from autoseg.runs import describe_environment
from autoseg.runs.json_values import to_json

from .setting import OverfitRow

COLUMNS = (
    Column(key="network", heading="Network"),
    Column(key="num_params", heading="Parameters", kind="scaled"),
    Column(key="image_scale", heading="Images enlarged", kind="exact", unit="times"),
    Column(key="learning_rate", heading="Learning rate", kind="number"),
    Column(key="num_steps", heading="Steps", kind="exact"),
    Column(key="cpu_seconds", heading="Processor time", kind="number", unit="s"),
    Column(key="miou", heading="Training mIoU", kind="percent"),
    Column(key="cross_entropy", heading="Cross-entropy", kind="number", unit="nats"),
    Column(key="is_passed", heading="Passed", kind="exact"),
)


def describe_check(
    command: Sequence[str],
    settings: Mapping[str, Any],
    *,
    num_classes: int,
    device: str,
    goal: float,
    grid_mious: Mapping[str, float],
) -> dict[str, Any]:
    """Return what the numbers depend on, as values that JSON can hold.

    Args:
        command: The command line.
        settings: What all networks share.
        num_classes: K.
        device: Where they were trained.
        goal: Mean IoU from which a network passes.
        grid_mious: The best mean IoU of free logits, by label pixels a side for each position.
    """
    return {
        "command": published_command(command),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": dict(settings),
        "num_classes": num_classes,
        "device": device,
        "goal": goal,
        "grid_mious": dict(grid_mious),
        **describe_environment(),
    }


def check_markdown(rows: Sequence[OverfitRow], run: Mapping[str, Any]) -> str:
    """Write the table, how to read it, and the protocol."""
    num_passed = sum(row.is_passed for row in rows)
    settings = run["settings"]
    blocks = [
        "# Sanity check: does every network learn a few images by heart?",
        f"{num_passed} of {len(rows)} networks reach a training mIoU of {100 * run['goal']:g} % "
        f"on {settings['overfit']} images. This says that their parts are trained, and that "
        "prediction sees what training saw; it says nothing about other images, and nothing about "
        "which network is better.",
        to_markdown([asdict(row) for row in rows], COLUMNS),
    ]
    blocks += [f"- {row.network}: {row.failure}" for row in rows if row.failure]
    blocks += ["## How to read this", "\n".join(f"- {line}" for line in _reading(run))]
    protocol = [f"- {name}: {text}" for name, text in _protocol(rows, run).items()]
    blocks += ["## Protocol", "\n".join(protocol)]
    return "\n\n".join(blocks) + "\n"


def _reading(run: Mapping[str, Any]) -> list[str]:
    settings = run["settings"]
    height, width = settings["image_size"]
    mious = [f"{100 * miou:.1f} % for {cell} x {cell}" for cell, miou in run["grid_mious"].items()]
    return [
        f"Images: {settings['overfit']} scenes of {height} x {width} of the embedded dataset's "
        f"train split, {run['num_classes']} classes, in one batch, without augmentation "
        "and without dropout, whose purpose is to prevent what is wanted here; with auxiliary "
        "losses.",
        "Training mIoU and cross-entropy: on the same images, in eval mode, with the weights of "
        "the last step, at the label's size.",
        "Images enlarged: a network cannot draw what is finer than its grid. The best mIoU that "
        "any logits reach on these images, by label pixels for each position of the grid: "
        f"{', '.join(mious)}. So the networks see the images enlarged, until a position stands "
        "for at most 4/3 x 4/3 label pixels.",
        "Learning rate: half for networks without batch norm, whose maps nothing bounds, so that "
        "the first steps would be lost. Steps: twice as many for DeconvNet, the deepest. Otherwise "
        "one recipe for all.",
        "Multi-scale inputs (msc): batch norm keeps one set of statistics of three scales, while "
        "each is trained with its own, so that this network predicts otherwise than it trained. "
        "The authors froze pretrained statistics, which random weights do not have.",
        f"Parameters: of networks of {settings['width']:g} times the published width, in eval "
        f"mode; of Auto-DeepLab with F = {settings['filter_multiplier']}.",
    ]


def _protocol(rows: Sequence[OverfitRow], run: Mapping[str, Any]) -> dict[str, str]:
    settings, hardware = run["settings"], run["hardware"]
    recipe = RETRAIN_PRESETS[settings["preset"]]
    versions = {name: version for name, version in run["versions"].items() if version}
    commits = list(dict.fromkeys(row.commit or "not a checkout" for row in rows))
    return {
        "Command": f"`{run['command']}`",
        "Recipe": f"SGD with momentum {recipe.momentum:g}, polynomial decay to 0 (power "
        f"{recipe.poly_power:g}), gradients clipped to a norm of {settings['gradient_clip']:g}, "
        f"weight decay {recipe.weight_decay:g}, seed {settings['seed']}",
        "Commits of the rows (+: with changes)": ", ".join(commits),
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "Device": f"{run['device']}; {hardware['cpu']}, {hardware['num_usable_cores']} usable "
        f"cores, {hardware['num_threads']} threads of torch",
        "Date": run["date"],
    }


def write_check(folder: Path, rows: Sequence[OverfitRow], run: Mapping[str, Any]) -> list[Path]:
    """Write overfit.csv, overfit.md and overfit.json."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = [Column(key=field.name, heading=field.name) for field in fields(OverfitRow)]
    record = to_json({**run, "rows": list(rows)}, where="overfit.json")
    contents = {
        "overfit.csv": to_csv([asdict(row) for row in rows], columns),
        "overfit.md": check_markdown(rows, run),
        "overfit.json": json.dumps(record, indent=2, ensure_ascii=False) + "\n",
    }
    for name, content in contents.items():
        atomic_write(folder / name, content.encode())
    return [folder / name for name in contents]
