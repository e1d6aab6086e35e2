"""A run as lines for a terminal."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from autoseg.architecture import Architecture, load_architecture
from autoseg.errors import UsageError
from autoseg.foreign_text import printable
from autoseg.reporting.publishing import published_command
from autoseg.reporting.text_chart import BLOCKS, text_chart, text_path
from autoseg.runs import find_runs, load_metrics, load_record

_RECORD = "run.json"
_ARCHITECTURE = "architecture.json"


_CURVES = (
    ("loss", "training loss", 1.0),
    ("val_miou", "validation mIoU (%)", 100.0),
    ("score", "score", 1.0),
    ("alpha_entropy", "entropy of alpha, share of the largest possible", 1.0),
    ("beta_entropy", "entropy of beta, share of the largest possible", 1.0),
)
"""Field of metrics.jsonl, what it is, and a factor; those that a run has are drawn."""
_PLACES = ("epoch", "sample", "step")
"""Field that says where a line stands: the first that it has."""


def describe(folder: Path, *, has_blocks: bool = True) -> str:
    """Describe a run and the runs below it; of a folder that is no run, the runs in it.

    Args:
        folder: The folder.
        has_blocks: Whether the terminal shows block characters; else curves are drawn in ASCII.

    Raises:
        UsageError: If there is no run.
        FileError: If the folder's own record or log is damaged.
    """
    blocks = []
    if (folder / _RECORD).exists():
        blocks.append(_run(folder, has_blocks=has_blocks))
    below = [run for run in find_runs(folder) if run != folder]
    if below:
        blocks.append(_listing(below, folder))
    if not blocks:
        raise UsageError(
            f"{folder} holds no run; start one with `python -m autoseg.search`, or name a folder "
            "that has some."
        )
    return printable("\n\n".join(blocks), keep="\n")


def shows_blocks(encoding: str | None) -> bool:
    """Tell whether a terminal of an encoding shows block characters."""
    try:
        f"{BLOCKS}●·".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _run(folder: Path, *, has_blocks: bool) -> str:
    record = load_record(folder)
    git = record.get("git") or {}
    versions = record.get("versions", {})
    facts = {
        "run": str(folder),
        "state": f"{record['kind']}, {record['state']}, {_minute(record['created'])} to "
        f"{_minute(record['updated'])} UTC"
        + (f", resumed {len(record['resumed'])} times" if record["resumed"] else ""),
        "command": published_command(record["command"]),
        "seed": str(record["seed"]),
        "commit": f"{git.get('commit', 'not a checkout')}"
        + (" and uncommitted changes" if git.get("dirty") else ""),
        "versions": ", ".join(f"{name} {text}" for name, text in versions.items() if text),
        "machine": str(record.get("hardware", {}).get("cpu", "unknown")),
        **_flat(record["results"]),
    }
    width = max(map(len, facts))
    blocks = ["\n".join(f"{name:{width}}  {text}" for name, text in facts.items())]
    if (folder / _ARCHITECTURE).exists():
        architecture = load_architecture(folder / _ARCHITECTURE)
        blocks.append(str(architecture))
        if isinstance(architecture, Architecture):  # that of a cell space has no path
            path = text_path(architecture.path, architecture.strides, has_blocks=has_blocks)
            blocks.append("\n".join(["stride of each layer", *path]))
    blocks += _curves(load_metrics(folder), has_blocks=has_blocks)
    blocks.append(_files(folder))
    return "\n\n".join(blocks)


def _curves(lines: Sequence[Mapping[str, Any]], *, has_blocks: bool) -> list[str]:
    """Draw what a run has logged, a block a curve."""
    blocks = []
    for field, meaning, factor in _CURVES:
        logged = [line for line in lines if field in line]
        values = [math.nan if line[field] is None else factor * line[field] for line in logged]
        chart = text_chart(values, has_blocks=has_blocks)
        if chart:
            place = next((name for name in _PLACES if name in logged[0]), None)
            where = ""
            if place is not None:
                where = f", {place} {logged[0][place]} to {logged[-1].get(place)}"
            blocks.append("\n".join([f"{meaning}{where}, last {values[-1]:.4g}", *chart]))
    return blocks


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Write results by name, those within others under both names."""
    texts = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            texts |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, float):
            texts[prefix + name] = f"{value:.4f}"
        elif isinstance(value, list):
            texts[prefix + name] = " ".join(map(str, value)) or "none"
        else:
            texts[prefix + name] = str(value)
    return texts


def _files(folder: Path) -> str:
    """List the files of a run with their sizes; those of runs below it are theirs."""
    others = [run for run in find_runs(folder) if run != folder]
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(path.is_relative_to(run) for run in others)
    )
    return "\n".join(
        f"{path.stat().st_size / 2**10:10.1f} KiB  {path.relative_to(folder)}" for path in files
    )


def _listing(runs: list[Path], folder: Path) -> str:
    rows = []
    for run in runs:
        record = load_record(run)
        score = record["results"].get("best_val_miou")
        rows.append(
            {
                "run": str(run.relative_to(folder)),
                "kind": record["kind"],
                "state": record["state"],
                "val mIoU": f"{score:.4f}" if isinstance(score, float) else "-",
                "started (UTC)": _minute(record["created"]),
            }
        )
    return pd.DataFrame(rows).to_string(index=False)


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")
