"""run.json: what a run is, how it was made and what came out, readable by a person."""

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

from autoseg.atomic import atomic_write
from autoseg.errors import FileError, UsageError, reading
from autoseg.foreign_text import printable
from autoseg.json_file import read_json
from autoseg.runs import schema
from autoseg.runs.environment import describe_environment
from autoseg.runs.json_values import to_json

RECORD_NAME = "run.json"
RECORD_FORMAT_VERSION = 2
"""2 added `sha256` and `order`."""

State = Literal["running", "finished", "interrupted", "failed"]

_CHECKSUM = "sha256"
_MAX_ORDER = 2**62

_RECORD = schema.fields(
    required={
        "format_version": schema.whole(1),
        "kind": schema.text,
        "command": schema.list_of(schema.text),
        "config": schema.mapping,
        "seed": schema.whole(),
        "created": schema.time,
        "updated": schema.time,
        "state": schema.one_of(*get_args(State)),
        "resumed": schema.list_of(schema.mapping),
        "results": schema.mapping,
    },
    allowed={
        "order": schema.whole(0, _MAX_ORDER),
        "git": schema.optional(schema.mapping),
        "versions": schema.mapping,
        "hardware": schema.mapping,
    },
)
"""What every record holds. Other fields are kept as they are: each command may add its own, and a
later autoseg may know more."""


def now() -> str:
    """Tell the time in the form of every record.

    Returns:
        ISO 8601 in UTC with microseconds, so that sorting as text sorts by time.
    """
    return datetime.now(UTC).isoformat(timespec="microseconds")


def new_record(
    *, kind: str, command: Sequence[str], config: Mapping[str, Any], seed: int, order: int
) -> dict[str, Any]:
    """Build the record of a run that starts now.

    Args:
        kind: "search", "retrain" or another command's word.
        command: The command line, one string an argument.
        config: The resolved configuration.
        seed: The seed of the run, in [0, 2**63).
        order: Its place among the runs; see `next_order`.

    Returns:
        The record: `format_version`, `kind`, `command`, `config`, `seed`, `git`, `versions`,
        `hardware`, `created`, `order`, `updated`, `state` ("running"), `resumed` (an entry with
        time, revision, versions and hardware each time the run was continued) and `results`.

    Raises:
        TypeError: If the configuration holds a value without a JSON form.
        ValueError: If a value is none that a record can hold.
    """
    time = now()
    record = {
        "format_version": RECORD_FORMAT_VERSION,
        "kind": kind,
        "command": to_json(list(command), where="command"),
        "config": to_json(config, where="config"),
        "seed": seed,
        **describe_environment(),
        "created": time,
        "order": order,
        "updated": time,
        "state": "running",
        "resumed": [],
        "results": {},
    }
    _RECORD(record, "")
    return record


def save_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write run.json with a checksum over its content, all of it or nothing.

    Args:
        folder: The run folder.
        record: The record.

    Raises:
        OSError: If the file cannot be written.
    """
    # Near the top: a person who takes the checksum's line out leaves valid JSON behind.
    head = {"format_version": RECORD_FORMAT_VERSION}
    content = {**head, **record, **head}
    content = {**head, _CHECKSUM: _checksum(content), **content}
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    atomic_write(folder / RECORD_NAME, (text + "\n").encode())


def load_record(folder: Path) -> dict[str, Any]:
    """Read run.json.

    Args:
        folder: The run folder.

    Returns:
        The record; fields as in `new_record`. That of a run of before a field was added lacks it.

    Warns:
        UserWarning: If the checksum was taken out of the file.

    Raises:
        UsageError: If the folder holds no run, or a newer autoseg wrote it.
        FileError: If the file is damaged, or was changed and still has its checksum.
        OSError: If the file system refuses.
    """
    path = Path(folder) / RECORD_NAME
    try:
        record = read_json(path, "a run's record", remedy=_REMEDY)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder} holds no run: {path} does not exist.") from None
    version = record.get("format_version") if isinstance(record, dict) else None
    if not isinstance(record, dict) or not isinstance(version, int):
        raise FileError(f"{path} is not a run's record: it has no format_version; {_REMEDY}.")
    require_known_version(path, version, newest=RECORD_FORMAT_VERSION)
    _verify(path, record)
    with reading(path, "a run's record", remedy=_REMEDY):
        _RECORD(record, "")
    return record


_REMEDY = "restore it, or start a new run with another --out"


def _verify(path: Path, record: dict[str, Any]) -> None:
    """Hold a record against its checksum, and take that out."""
    checksum = record.pop(_CHECKSUM, None)
    if checksum is None:
        if record["format_version"] > 1:  # the first format had none
            warnings.warn(
                f"{printable(str(path))} has no checksum, so that its content is believed as it "
                "stands.",
                stacklevel=3,
            )
    elif checksum != _checksum(record):
        raise FileError(
            f"{printable(str(path))} is not as autoseg wrote it: its checksum does not match its "
            "content. If a disk or a copy damaged it, restore it; if you changed it on purpose, "
            f'take out its line "{_CHECKSUM}", and it is believed as it stands.'
        )


def _checksum(record: Mapping[str, Any]) -> str:
    """Compute SHA-256 over a record in a form that does not depend on layout or order."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def reading_record(folder: Path, what: str = "a record that this autoseg knows") -> Iterator[None]:
    """Name run.json in every error over what its fields hold; see `reading_fields`.

    Args:
        folder: The run folder.
        what: What the record should be, with its article.
    """
    with reading_fields(Path(folder) / RECORD_NAME, what):
        yield


@contextmanager
def reading_fields(path: Path, what: str) -> Iterator[None]:
    """Name a file in every error over what its fields hold.

    Args:
        path: The file.
        what: What it should be, with its article.

    Raises:
        FileError: Instead of whatever is raised inside; a `UsageError` too, for what it finds wrong
            was said by the file, and not by the user.
    """
    try:
        with reading(path, what):
            yield
    except UsageError as error:
        raise FileError(f"{printable(str(path))}: {error}") from error


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
            "update autoseg (pip install --upgrade autoseg-nas)."
        )


def next_order(folder: Path) -> int:
    """Choose a new run's place among the runs: after all that are near it, whatever the clock says.

    It is the time in microseconds, or one more than the latest near it where the clock was set
    back since. Runs that are not near each other, under different folders, go by the clock.

    Args:
        folder: The new run's folder, which need not exist.
    """
    parent = folder.absolute().parent
    near = [parent, *(path.parent for depth in (1, 2) for path in parent.glob(_BELOW[depth]))]
    latest = 0
    for other in near:
        with warnings.catch_warnings(action="ignore"):
            try:
                latest = max(latest, order_of(load_record(other)))
            except (ValueError, OSError):  # damaged, or no run: it has no say in this one's place
                continue
    return min(max(_microseconds(now()), latest + 1), _MAX_ORDER)


_BELOW = {1: f"*/{RECORD_NAME}", 2: f"*/*/{RECORD_NAME}"}


def order_of(record: Mapping[str, Any]) -> int:
    """Return a run's place among the runs; for one of before there was a place, the time."""
    return record.get("order", _microseconds(record["created"]))


def _microseconds(time: str) -> int:
    since = datetime.fromisoformat(time) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1)


def find_runs(
    root: Path,
    *,
    kind: str | None = None,
    state: State | None = None,
    max_depth: int | None = None,
) -> list[Path]:
    """Find the runs in a folder and below it.

    A folder whose record cannot be read is left out with a warning, so that one damaged run does
    not hide the others.

    Args:
        root: Where to look; a folder that does not exist holds no runs.
        kind: Only runs of this kind; None takes all.
        state: Only runs in this state; None takes all.
        max_depth: Only run folders at most so far below the root, which is at 0; None: any.

    Returns:
        Run folders, oldest first; see `next_order`.
    """
    found = []
    for path in _record_paths(Path(root), max_depth):
        try:
            record = load_record(path.parent)
        except (ValueError, OSError) as error:
            warnings.warn(f"left out {printable(str(path.parent))}: {error}", stacklevel=2)
            continue
        if kind in (None, record["kind"]) and state in (None, record["state"]):
            found.append((order_of(record), record["created"], path.parent))
    return [folder for *_, folder in sorted(found)]


def _record_paths(root: Path, max_depth: int | None) -> Iterator[Path]:
    if max_depth is None:
        yield from root.rglob(RECORD_NAME)
    else:
        for depth in range(max_depth + 1):
            yield from root.glob("/".join(["*"] * depth + [RECORD_NAME]))
