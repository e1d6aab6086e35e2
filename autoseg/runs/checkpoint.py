"""Everything that resuming needs, in files that are verified before they are believed.

A checkpoint is a `torch.save` archive followed by a footer: a marker and the archive's SHA-256. One
file, so that one rename replaces both. Two are kept: should the newest turn out damaged, the one
before it is taken.
"""

import hashlib
import io
import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.atomic import atomic_write
from autoseg.errors import UsageError
from autoseg.runs.json_values import JsonValue, to_json
from autoseg.runs.record import require_known_version

CHECKPOINT_FORMAT_VERSION = 1

_NAME = re.compile(r"checkpoint-(\d+)\.pt")
_MARKER = b"autoseg-sha256:"
_FOOTER_SIZE = len(_MARKER) + hashlib.sha256().digest_size


class _DamagedError(Exception):
    """The file is not the one that was written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A checkpoint that was read and verified."""

    path: Path
    """The file it came from."""
    step: int
    """Steps done when it was saved."""
    state: dict[str, Any]
    """What was given to `save_checkpoint`."""
    metrics_bytes: int
    """Length of metrics.jsonl when it was saved; later lines belong to steps that are redone."""
    warnings: tuple[str, ...]
    """One sentence for each newer file that was damaged; empty if this is the newest."""


def save_checkpoint(
    folder: Path,
    state: Mapping[str, Any],
    *,
    identity: Mapping[str, Any],
    step: int,
    metrics_bytes: int,
) -> Path:
    """Write checkpoint-STEP.pt and keep, besides it, only the newest one before it.

    Args:
        folder: The run folder.
        state: Tensors, numbers, strings and None, in dictionaries, lists and tuples.
        identity: What a run must agree on to continue from this file, for example its space.
        step: Steps done, at least 0.
        metrics_bytes: Length of metrics.jsonl now.

    Returns:
        The file written.

    Raises:
        TypeError: If `state` holds anything that would need unpickling of code.
        OSError: If the file cannot be written; earlier checkpoints are untouched then.
    """
    _require_plain(state, "state")
    buffer = io.BytesIO()
    torch.save(
        {
            "format_version": CHECKPOINT_FORMAT_VERSION,
            "step": step,
            "identity": to_json(identity, where="identity"),
            "metrics_bytes": metrics_bytes,
            "state": state,
        },
        buffer,
    )
    digest = hashlib.sha256(buffer.getbuffer()).digest()
    buffer.write(_MARKER + digest)
    path = folder / f"checkpoint-{step:08d}.pt"
    atomic_write(path, buffer.getbuffer())
    # A file of a later step is one that was passed over as damaged, or a future that an older
    # checkpoint has replaced: resuming from it would undo what was just saved.
    earlier = [other for other_step, other in _checkpoints(folder) if other_step < step]
    for _, other in _checkpoints(folder):
        if other not in (path, *earlier[:1]):
            other.unlink()
    return path


def load_checkpoint(
    folder: Path, *, identity: Mapping[str, Any], map_location: torch.device | str
) -> Checkpoint | None:
    """Read the newest checkpoint that is whole.

    Args:
        folder: The run folder.
        identity: What the run is; must equal what the checkpoint was saved with.
        map_location: Device for the tensors.

    Returns:
        The checkpoint, or None if the folder has none.

    Warns:
        UserWarning: If the newest file is damaged and the one before it is taken.

    Raises:
        UsageError: If the checkpoint belongs to another run, or a newer autoseg wrote it.
        ValueError: If there are checkpoints and every one is damaged.
    """
    damages: list[str] = []
    for step, path in _checkpoints(folder):
        try:
            content = _read(path, map_location)
        except _DamagedError as damage:
            damages.append(str(damage))
            continue
        _require_same_identity(path, content["identity"], identity)
        messages = tuple(f"{damage}; resuming from {path.name} instead." for damage in damages)
        for message in messages:
            warnings.warn(message, stacklevel=2)
        return Checkpoint(
            path=path,
            step=step,
            state=content["state"],
            metrics_bytes=content["metrics_bytes"],
            warnings=messages,
        )
    if not damages:
        return None
    raise ValueError(
        f"no checkpoint in {folder} can be used: {'; '.join(damages)}. Restore one from a backup, "
        f"delete checkpoint-*.pt there to start this run again from step 0, or use another --out."
    )


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """List (step, file), newest first."""
    found = []
    for path in folder.glob("checkpoint-*.pt"):
        match = _NAME.fullmatch(path.name)
        if match:
            found.append((int(match[1]), path))
    return sorted(found, reverse=True)


def _read(path: Path, map_location: torch.device | str) -> dict[str, Any]:
    data = path.read_bytes()
    archive, footer = memoryview(data)[:-_FOOTER_SIZE], data[-_FOOTER_SIZE:]
    if not footer.startswith(_MARKER):
        raise _DamagedError(f"{path} is truncated: its checksum is missing ({len(data)} bytes)")
    if hashlib.sha256(archive).digest() != footer[len(_MARKER) :]:
        raise _DamagedError(f"{path} is corrupt: its checksum does not match its content")
    try:
        content = torch.load(io.BytesIO(archive), map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        # The bytes are as they were written, so autoseg did not write them.
        raise ValueError(f"{path} holds more than tensors and numbers; not loaded.") from error
    require_known_version(path, content["format_version"], newest=CHECKPOINT_FORMAT_VERSION)
    return content


def _require_same_identity(path: Path, saved: JsonValue, wanted: Mapping[str, Any]) -> None:
    difference = _first_difference(saved, to_json(wanted, where="identity"), "")
    if difference:
        key, theirs, ours = difference
        raise UsageError(
            f"checkpoint {path} belongs to {key} {theirs}, this run is {ours}: resume with the "
            "settings that the run was started with, or start a new one with another --out."
        )


def _first_difference(saved: JsonValue, wanted: JsonValue, key: str) -> tuple[str, str, str] | None:
    """Find the first place where two values differ: its dotted name and both values."""
    if isinstance(saved, dict) and isinstance(wanted, dict):
        for name in (*saved, *(name for name in wanted if name not in saved)):
            inner = f"{key}.{name}" if key else name
            if name not in wanted or name not in saved:
                theirs = repr(saved[name]) if name in saved else "(unset)"
                return inner, theirs, repr(wanted[name]) if name in wanted else "(unset)"
            difference = _first_difference(saved[name], wanted[name], inner)
            if difference:
                return difference
        return None
    return None if saved == wanted else (key, repr(saved), repr(wanted))


def _require_plain(value: object, where: str) -> None:
    # Exact types: numpy.float64 is a float and a named tuple is a tuple, yet both are pickled as
    # code to be imported, which weights_only=True refuses when it is too late.
    if type(value) in (dict, OrderedDict):
        assert isinstance(value, dict)
        for key, item in value.items():
            if type(key) not in (str, int):
                raise TypeError(f"{where} has the key {key!r}: keys must be strings or integers.")
            _require_plain(item, f"{where}[{key!r}]")
    elif type(value) in (list, tuple):
        assert isinstance(value, list | tuple)
        for i, item in enumerate(value):
            _require_plain(item, f"{where}[{i}]")
    elif type(value) not in (Tensor, nn.Parameter, bool, int, float, str, type(None)):
        raise TypeError(
            f"{where} is a {type(value).__module__}.{type(value).__qualname__}: a checkpoint holds "
            "tensors, numbers, strings, lists and dictionaries only."
        )
