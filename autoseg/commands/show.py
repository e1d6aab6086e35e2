"""A run as lines for a terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from autoseg.architecture import load_architecture
from autoseg.errors import UsageError
from autoseg.foreign_text import printable
from autoseg.reporting.publishing import published_command
from autoseg.runs import find_runs, load_record

_RECORD = "run.json"
_ARCHITECTURE = "architecture.json"


def describe(folder: Path) -> str:
    """Describe a run and the runs below it; of a folder that is no run, the runs in it.

    Raises:
        UsageError: If there is no run.
        FileError: If the folder's own record is damaged.
    """
    blocks = []
    if (folder / _RECORD).exists():
        blocks.append(_run(folder))
    below = [run for run in find_runs(folder) if run != folder]
    if below:
        blocks.append(_listing(below, folder))
    if not blocks:
        raise UsageError(
            f"{folder} holds no run; start one with `python -m autoseg.search`, or name a folder "
            "that has some."
        )
    return printable("\n\n".join(blocks), keep="\n")


def _run(folder: Path) -> str:
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
        blocks.append(str(load_architecture(folder / _ARCHITECTURE)))
    blocks.append(_files(folder))
    return "\n\n".join(blocks)


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
