"""Go on with an earlier run: under its own settings, and on its own images."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from autoseg.config import Request, values_of
from autoseg.config.field_types import shown
from autoseg.config.recipe import NOT_DECIDING
from autoseg.distributed import from_first
from autoseg.errors import UsageError
from autoseg.launch import launch
from autoseg.requests import RetrainRequest, SearchRequest
from autoseg.runs import reading_record, schema
from autoseg.runs.record import RECORD_NAME

MAY_DIFFER = (
    *("out", "resume", "device", "tensorboard"),
    *("data_root", "data", "cache", "cache_gib"),
    *NOT_DECIDING,
)
"""Options that may differ when a run is resumed: they do not decide its result."""

NOT_SAVED = ("out", "resume", "device", "tensorboard")
"""Options that are no part of a run's settings."""

RequestT = TypeVar("RequestT", bound=Request)


ResumableT = TypeVar("ResumableT", SearchRequest, RetrainRequest)


def after_restart(request: ResumableT) -> ResumableT:
    """Go on with the run in --out where torchrun starts a job again (`--max-restarts`).

    Raises:
        UsageError: If there is no --out, and so no telling which run the job began.
    """
    if launch().num_restarts == 0 or request.resume:
        return request
    if request.out is None:
        raise UsageError(
            "torchrun has started this job again, and without --out it is not known which run it "
            "began: name a folder with --out when --max-restarts is given."
        )
    has_begun = from_first((request.out / RECORD_NAME).exists())
    return request.with_values(resume=True) if has_begun else request


def settings_of(request: Request) -> dict[str, Any]:
    """Return what a record keeps of a request in which nothing is left open."""
    return {name: value for name, value in values_of(request).items() if name not in NOT_SAVED}


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


def require_same_images(folder: Path, saved: dict[str, Any], images: Mapping[str, str]) -> None:
    """Refuse to resume on other images than those that the run was started on.

    Args:
        folder: The run folder, for the message.
        saved: The configuration in its record; earlier ones do not tell their images.
        images: The images of now, from `images_in`.

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
