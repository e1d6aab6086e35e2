"""Choose a run folder, and go on with an earlier run under its own settings."""

from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from autoseg.config import Request, values_of
from autoseg.config.field_types import shown
from autoseg.config.recipe import NOT_DECIDING
from autoseg.data import SegmentationDataset
from autoseg.errors import UsageError
from autoseg.foreign_text import folder_name
from autoseg.runs import find_runs, load_record, reading_record, schema

RUNS = Path("runs")
"""Where run folders are made and looked for, under the current folder."""

ARCHITECTURE_NAME = "architecture.json"
"""What a search has found, in its run folder."""

MAY_DIFFER = ("out", "resume", "device", "data_root", *NOT_DECIDING)
"""Options that may differ when a run is resumed: they do not decide its result."""

NOT_SAVED = ("out", "resume", "device")
"""Options that are no part of a run's settings."""

RequestT = TypeVar("RequestT", bound=Request)


def settings_of(request: Request) -> dict[str, Any]:
    """Return what a record keeps of a request in which nothing is left open."""
    return {name: value for name, value in values_of(request).items() if name not in NOT_SAVED}


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


def resumed_request(
    request: RequestT, saved: RequestT, *, folder: Path, ignoring: Collection[str] = ()
) -> RequestT:
    """Let the run that is resumed decide whatever the user did not say.

    Args:
        request: What the user says now.
        saved: What the run was started with.
        folder: The run folder, for the message.
        ignoring: Fields that the caller compares by itself.

    Raises:
        UsageError: If the user says otherwise than the run was started.
    """
    for name, theirs, ours in request.differences(saved, ignoring=(*MAY_DIFFER, *ignoring)):
        raise UsageError(
            f"--resume: {folder} was started with {name} = {shown(theirs)}, not {shown(ours)}; "
            f"leave --{name.replace('_', '-')} out, or start a new run without --resume."
        )
    return request.with_defaults(saved)


def images_of(
    train_dataset: SegmentationDataset, val_dataset: SegmentationDataset
) -> dict[str, str]:
    """Return what a record keeps of the images, so that no others are taken when it goes on."""
    return {"train": train_dataset.fingerprint(), "val": val_dataset.fingerprint()}


def require_same_images(folder: Path, saved: dict[str, Any], images: Mapping[str, str]) -> None:
    """Refuse to resume on other images than those that the run was started on.

    Args:
        folder: The run folder, for the message.
        saved: The configuration in its record; earlier ones do not tell their images.
        images: Those of now, from `images_of`.

    Raises:
        UsageError: If they differ.
    """
    with reading_record(folder):
        schema.fields({}, allowed={"images": schema.mapping})(saved, "config")
    before = saved.get("images", {})
    for split in images:
        theirs = before.get(split, images[split])
        if images[split] != theirs:
            raise UsageError(
                f"--resume: {folder} was started on other images: {split} was {theirs}, and is "
                f"{images[split]} now; name the folder that they lie in with --data-root, or start "
                "a new run without --resume."
            )
