"""Choose a run folder, and go on with an earlier run under its own settings."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

from autoseg.errors import UsageError
from autoseg.foreign_text import folder_name
from autoseg.runs import find_runs, load_record

RUNS = Path("runs")
"""Where run folders are made and looked for, under the current folder."""

NOT_SETTINGS = (
    "out",
    "resume",
    "device",
    "num_workers",
    "data_root",
    "backend",
    "cuda_graph",
)
"""Options that may differ when a run is resumed."""


def new_folder(kind: str, *words: str) -> Path:
    """Name a new run folder under `RUNS` by kind, words and the present time."""
    words = tuple(folder_name(word) for word in words)  # a space's name is its author's
    name = "-".join((kind, *words, datetime.now().strftime("%Y%m%d-%H%M%S")))
    folder, number = RUNS / name, 2
    while folder.exists():
        folder, number = RUNS / f"{name}-{number}", number + 1
    return folder


def folder_to_resume(kind: str, out: Path | None) -> Path:
    """Find the run to go on with: `out`, or the newest one under `RUNS` that is not finished.

    Raises:
        UsageError: If there is none, or the folder holds a run of another kind.
    """
    if out is not None:
        record = load_record(out)
        if record["kind"] != kind:
            raise UsageError(
                f"--resume --out {out}: this is a {record['kind']} run, but a {kind} was asked for."
            )
        return out
    unfinished = [
        folder
        for folder in find_runs(RUNS, kind=kind)
        if load_record(folder)["state"] != "finished"
    ]
    if not unfinished:
        raise UsageError(
            f"--resume: no unfinished {kind} under {RUNS}/; name its folder with --out, or leave "
            "--resume out to start a new one."
        )
    return unfinished[-1]


def newest(kind: str) -> Path | None:
    """Find the newest finished run of a kind under `RUNS`."""
    finished = find_runs(RUNS, kind=kind, state="finished")
    return finished[-1] if finished else None


def require_same_settings(
    given: Mapping[str, Any], saved: Mapping[str, Any], *, folder: Path
) -> None:
    """Refuse to resume with settings that differ from those that the run was started with.

    Args:
        given: What the user gave now.
        saved: Resolved settings of the run, as JSON values.
        folder: The run folder, for the message.
    """
    for name, value in given.items():
        if name in NOT_SETTINGS or (name == "preset" and value == "auto"):
            continue
        if name in saved and _plain(value) != saved[name]:
            raise UsageError(
                f"--resume: {folder} was started with {name} = {saved[name]!r}, not {value!r}; "
                f"leave --{name.replace('_', '-')} out, or start a new run without --resume."
            )


def _plain(value: Any) -> Any:
    """Bring a field's value to the form that it has in JSON."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def fields_of(config_type: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the fields of a configuration from values, which may have been through JSON.

    Args:
        config_type: A dataclass.
        values: Values by name; names that are no field of it are left out.

    Returns:
        The fields that were there, lists as tuples and paths as paths.
    """
    picked = {}
    for field in fields(config_type):
        if field.name in values:
            value = values[field.name]
            is_path = field.type in (Path, Path | None) and isinstance(value, str)
            if isinstance(value, list):
                picked[field.name] = tuple(value)
            else:
                picked[field.name] = Path(value) if is_path else value
    return picked
