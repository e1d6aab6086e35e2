"""What a finished run is, as values that must be equal: all but times of day and of work."""

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from optuna.trial import TrialState
from torch import Tensor

from autoseg.runs import load_metrics, load_record

_TIMES = {
    *("time", "date", "datetime_start", "datetime_complete", "worker_id"),
    *("spent_s", "rounds_s", "processor_s", "cost"),
    "bookmark",  # lines of a journal, to which Optuna adds one whenever it is opened
}
"""Keys of what no two runs share."""


def outcome(folder: Path) -> dict[str, Any]:
    """Describe every result in a folder and the folders below.

    Args:
        folder: A run folder, or one of several and of what they share.

    Returns:
        By file: the lines of logs, the finished trials of journals, the rows of databases, the
        values of records, and of tensors a hash of every bit.
    """
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.name == "metrics.jsonl":
            found[name] = _plain(load_metrics(path.parent))
        elif path.name == "run.json":
            record = load_record(path.parent)
            found[name] = _plain({key: record.get(key) for key in ("state", "config", "results")})
        elif path.suffix == ".safetensors":
            found[name] = _digest(safetensors.torch.load_file(path))
        elif path.name.startswith("checkpoint-"):
            found[name] = _digest(torch.load(path, weights_only=True)["state"])
        elif path.suffix == ".journal":
            found[name] = _finished_trials(path)
        elif path.suffix == ".db":
            found[name] = _rows(path)
        elif path.suffix == ".json":
            found[name] = _plain(json.loads(path.read_text()))
        elif path.suffix == ".tmp":
            found[name] = "left over"
    return found


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Name the files in which two outcomes differ."""
    return sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    )


def num_irregular_lines(folder: Path, expected: dict[str, Any]) -> int:
    """Count steps that logs lack or repeat, over all of a job's metrics.jsonl."""
    total = 0
    for name, lines in expected.items():
        if Path(name).name == "metrics.jsonl":
            steps = [line.get("step") for line in load_metrics((folder / name).parent)]
            wanted = [line.get("step") for line in lines]
            repeated = len(steps) - len(set(steps))
            total += repeated + len(set(wanted) ^ set(steps))
    return total


def _finished_trials(path: Path) -> list[list[Any]]:
    """List what Optuna's journal says of each finished trial; a kill leaves one unfinished."""
    open_trials: dict[int, list[Any]] = {}
    finished = []
    for line in map(json.loads, path.read_text().splitlines()):
        if (trial := line.pop("trial_id", None)) is not None:
            open_trials.setdefault(trial, []).append(_plain(line))
            if line.get("state") == TrialState.COMPLETE.value:
                finished.append(open_trials.pop(trial))
    return finished


def _rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """List the rows of each table of an SQLite database."""
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            table: _plain([dict(row) for row in database.execute(f'SELECT * FROM "{table}"')])
            for (table,) in tables
        }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key not in _TIMES}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _digest(value: Any) -> str:
    sha256 = hashlib.sha256()

    def add(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key in value:
                if key not in _TIMES:
                    add(f"{name}.{key}", value[key])
        elif isinstance(value, list | tuple):
            for place, item in enumerate(value):
                add(f"{name}[{place}]", item)
        elif isinstance(value, Tensor):
            sha256.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            sha256.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
        else:
            sha256.update(f"{name} {value!r}".encode())

    add("", value)
    return sha256.hexdigest()
