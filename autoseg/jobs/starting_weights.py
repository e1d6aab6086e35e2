"""The weights that a retraining starts from: `--weights FILE`."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from autoseg.errors import UsageError
from autoseg.jobs.console import announce
from autoseg.jobs.networks import NetworkChoice
from autoseg.networks import FittedWeights, fit_weights
from autoseg.runs import load_record

MAX_LISTED = 6
CHECKPOINTS = "checkpoint-*.pt"


@dataclass(frozen=True, kw_only=True, slots=True)
class StartingWeights:
    """Weights that fit the one network of a retraining."""

    fitted: FittedWeights
    """What to copy into the network."""
    record: dict[str, Any]
    """What run.json keeps of it: the file's name and checksum, and what went where."""


def starting_weights(
    path: Path | None,
    choices: Sequence[NetworkChoice],
    *,
    num_classes: int,
    resumed: Path | None = None,
) -> StartingWeights | None:
    """Read the file that a retraining starts from, and say what it fills.

    A retraining that is resumed reads the file again only if it stopped before its first
    checkpoint, which decides all weights.

    Args:
        path: The file that the user named; None starts a new retraining from random weights.
        choices: The networks to train.
        num_classes: K, the number of evaluated classes.
        resumed: Folder of the retraining that is resumed; None starts a new one.

    Raises:
        UsageError: If there are several networks; if the file cannot be read or does not fit, and
            where it would fit at width 1 the message says so; if it is not the one that the resumed
            retraining was started from, or that one is needed and not given.
    """
    if resumed is not None and not _is_needed_again(path, choices, folder=resumed):
        return None
    if path is None:
        return None
    if len(choices) > 1:
        labels = ", ".join(choice.label for choice in choices)
        raise UsageError(
            f"--weights {path}: {len(choices)} networks are to be trained ({labels}), and one file "
            "fits one network; name it with --network NAME, or leave --weights out."
        )
    (choice,) = choices
    try:
        fitted = _fit(choice, path, num_classes=num_classes)
    except UsageError:
        if choice.width != 1 and _fits(replace(choice, width=1.0), path, num_classes=num_classes):
            raise UsageError(
                f"--weights {path}: {choice.label} is to be built at width {choice.width:g}, and "
                "the file fits it at width 1; add --width 1."
            ) from None
        raise
    loaded = fitted.loaded
    announce(
        f"retrain: {', '.join(loaded.parts) or 'all'} of {choice.label} from {path}: "
        f"{loaded.num_tensors} tensors{_left_out(loaded.left_out)}"
    )
    record = {"file": path.name, "sha256": _checksum(path), **loaded._asdict()}
    return StartingWeights(fitted=fitted, record=record)


def _is_needed_again(path: Path | None, choices: Sequence[NetworkChoice], *, folder: Path) -> bool:
    """Compare the file with what the resumed run's record keeps of it, and look for a checkpoint.

    Raises:
        UsageError: If the user names another file, or none though it is needed.
    """
    record = load_record(folder)["config"].get("weights")
    if record is None:
        if path is None:
            return False
        raise UsageError(
            f"--resume --weights {path}: {folder} was started from random weights; leave --weights "
            "out, or start a new run without --resume."
        )
    started = f"{folder} was started from {record['file']} (SHA-256 {record['sha256'][:12]}...)"
    if path is not None and path.is_file() and _checksum(path) != record["sha256"]:
        raise UsageError(
            f"--resume --weights {path}: {started}, and this file is another one; leave --weights "
            "out, or start a new run without --resume."
        )
    if any((folder / choices[0].label).glob(CHECKPOINTS)):
        return False
    if path is None:
        raise UsageError(
            f"--resume: {started} and stopped before its first checkpoint; name that file again "
            "with --weights FILE."
        )
    return True


def _fit(choice: NetworkChoice, path: Path, *, num_classes: int) -> FittedWeights:
    """Fit the file to a network that is described, and not filled with numbers."""
    with torch.device("meta"):
        network = choice.build(num_classes)
    return fit_weights(network, path)


def _fits(choice: NetworkChoice, path: Path, *, num_classes: int) -> bool:
    try:
        _fit(choice, path, num_classes=num_classes)
    except UsageError:
        return False
    return True


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _left_out(names: Sequence[str]) -> str:
    """Say which tensors of a classifier's file have no place in the network."""
    if not names:
        return ""
    rest = len(names) - MAX_LISTED
    listed = ", ".join(names[:MAX_LISTED]) + (f" and {rest} more" if rest > 0 else "")
    return f"; left out, as the classifier's own: {listed}"
