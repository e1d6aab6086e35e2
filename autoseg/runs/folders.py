"""Where run folders are made and looked for, when a user names none."""

import errno
import os
from datetime import datetime
from pathlib import Path

from autoseg.atomic import unwritable
from autoseg.distributed import from_first
from autoseg.errors import UsageError
from autoseg.foreign_text import folder_name
from autoseg.runs.lock import FolderLock
from autoseg.runs.metrics_log import METRICS_NAME
from autoseg.runs.record import RECORD_NAME, find_runs, load_record

RUNS = Path("runs")
"""Where run folders are made and looked for, under the current folder."""


def new_folder(kind: str, *words: str) -> Path:
    """Name a new run folder under `RUNS` by kind, words and the present time; for all processes."""
    words = tuple(folder_name(word) for word in words)  # a space's name is its author's
    name = "-".join((kind, *words, datetime.now().strftime("%Y%m%d-%H%M%S")))
    folder, number = RUNS / name, 2
    while folder.exists():
        folder, number = RUNS / f"{name}-{number}", number + 1
    return from_first(folder)


def require_new_run(folder: Path) -> None:
    """Refuse a folder that no run can be started in; nothing is made.

    Args:
        folder: Where a run folder is to be, or lies.

    Raises:
        UsageError: If it is in use, holds a run or what is left of one, is a file, or lies in one.
        OSError: If it, or the folder that it would be made in, may not be written to.
    """
    require_place(folder)
    if (folder / RECORD_NAME).exists():
        FolderLock(folder).release()  # a run that goes on is in use, and cannot be resumed
    require_no_run(folder)


def require_place(folder: Path) -> None:
    """Refuse a folder that is a file, lies in one, or may not be written to, as above."""
    found = folder
    # Not Path.exists, which raises where a folder on the way may not be searched.
    while not os.path.exists(found) and found != found.parent:  # noqa: PTH110
        found = found.parent
    if not found.is_dir():
        what = "is a file" if found == folder else f"cannot be made: {found} is a file"
        raise UsageError(f"run folder {folder} {what}; use another --out.")
    if not os.access(
        found, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids
    ):
        raise unwritable(found, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def require_no_run(folder: Path) -> None:
    """Refuse a folder that holds a run or what is left of one, as above."""
    if (folder / RECORD_NAME).exists():
        try:
            record = load_record(folder)
            what = f"a {record['kind']} run ({record['state']}, created {record['created']})"
        except ValueError:
            what = "a run whose record cannot be read"
        raise UsageError(
            f"{folder} already holds {what}: use --resume to continue it, or another --out."
        )
    parts = [METRICS_NAME, "checkpoint-*.pt", "weights-*.safetensors"]
    leftovers = sorted(path.name for part in parts for path in folder.glob(part))
    if leftovers:
        raise UsageError(
            f"{folder} has no {RECORD_NAME} but holds {leftovers[0]} of another run: "
            "use another --out, or remove it."
        )


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
