"""Where run folders are made and looked for, when a user names none."""

from datetime import datetime
from pathlib import Path

from autoseg.distributed import from_first
from autoseg.errors import UsageError
from autoseg.foreign_text import folder_name
from autoseg.runs.record import find_runs, load_record

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
