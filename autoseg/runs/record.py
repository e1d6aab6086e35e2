"""run.json: what a run is, how it was made and what came out, readable by a person."""

import json
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from autoseg.atomic import atomic_write
from autoseg.errors import UsageError
from autoseg.runs.environment import describe_environment
from autoseg.runs.json_values import to_json

RECORD_NAME = "run.json"
RECORD_FORMAT_VERSION = 1

State = Literal["running", "finished", "interrupted", "failed"]

_REQUIRED = ("kind", "command", "config", "seed", "created", "updated", "state", "results")


def now() -> str:
    """Tell the time in the form of every record.

    Returns:
        ISO 8601 in UTC with microseconds, so that sorting as text sorts by time.
    """
    return datetime.now(UTC).isoformat(timespec="microseconds")


def new_record(
    *, kind: str, command: Sequence[str], config: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Build the record of a run that starts now.

    Args:
        kind: "search", "retrain" or another command's word.
        command: The command line, one string an argument.
        config: The resolved configuration.
        seed: The seed of the run.

    Returns:
        The record: `format_version`, `kind`, `command`, `config`, `seed`, `git`, `versions`,
        `hardware`, `created`, `updated`, `state` ("running"), `resumed` (an entry with time,
        revision, versions and hardware each time the run was continued) and `results`.

    Raises:
        TypeError: If the configuration holds a value without a JSON form.
    """
    time = now()
    return {
        "format_version": RECORD_FORMAT_VERSION,
        "kind": kind,
        "command": list(command),
        "config": to_json(config, where="config"),
        "seed": seed,
        **describe_environment(),
        "created": time,
        "updated": time,
        "state": "running",
        "resumed": [],
        "results": {},
    }


def save_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write run.json, all of it or nothing.

    Args:
        folder: The run folder.
        record: The record.

    Raises:
        OSError: If the file cannot be written.
    """
    text = json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False)
    atomic_write(folder / RECORD_NAME, (text + "\n").encode())


def load_record(folder: Path) -> dict[str, Any]:
    """Read run.json.

    Args:
        folder: The run folder.

    Returns:
        The record; fields as in `new_record`.

    Raises:
        UsageError: If the folder holds no run, or a newer autoseg wrote it.
        ValueError: If the file is damaged.
    """
    path = Path(folder) / RECORD_NAME
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder} holds no run: {path} does not exist.") from None
    except ValueError as error:  # not JSON, or not UTF-8
        raise ValueError(
            f"{path} is damaged: {error}; restore it, or start a new run with another --out."
        ) from error
    if not isinstance(record, dict) or not isinstance(record.get("format_version"), int):
        raise ValueError(f"{path} is not a run's record: it has no format_version.")
    require_known_version(path, record["format_version"], newest=RECORD_FORMAT_VERSION)
    missing = [name for name in _REQUIRED if name not in record]
    if missing:
        raise ValueError(f"{path} is damaged: it has no field {missing[0]!r}.")
    return record


def require_known_version(path: Path, version: int, *, newest: int) -> None:
    """Refuse a file that a newer autoseg wrote.

    Args:
        path: The file, for the message.
        version: The format version it states.
        newest: The newest version that this autoseg reads.

    Raises:
        UsageError: If the file's version is newer.
    """
    if version > newest:
        raise UsageError(
            f"{path} has format version {version}, this autoseg reads up to {newest}: "
            "update autoseg (pip install --upgrade autoseg)."
        )


def find_runs(root: Path, *, kind: str | None = None, state: State | None = None) -> list[Path]:
    """Find the runs in a folder and below it.

    A folder whose record cannot be read is left out with a warning, so that one damaged run does
    not hide the others.

    Args:
        root: Where to look; a folder that does not exist holds no runs.
        kind: Only runs of this kind; None takes all.
        state: Only runs in this state; None takes all.

    Returns:
        Run folders, oldest first by the time they were created.
    """
    found = []
    for path in Path(root).rglob(RECORD_NAME):
        try:
            record = load_record(path.parent)
        except ValueError as error:
            warnings.warn(f"left out {path.parent}: {error}", stacklevel=2)
            continue
        if kind in (None, record["kind"]) and state in (None, record["state"]):
            found.append((record["created"], path.parent))
    return [folder for _, folder in sorted(found)]
