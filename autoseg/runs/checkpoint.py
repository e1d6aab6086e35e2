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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.atomic import atomic_write
from autoseg.errors import FileError, UsageError, reading
from autoseg.foreign_text import printable
from autoseg.json_file import JsonValue, read_regular_file
from autoseg.pickles import load_pickled
from autoseg.runs import schema
from autoseg.runs.json_values import to_json
from autoseg.runs.record import require_known_version

CHECKPOINT_FORMAT_VERSION = 2
"""2 says all of what a run is; checkpoints of the first may lack fields of their identity."""

Restore = Callable[[dict[str, Any]], None]
"""Takes the state of a checkpoint over; raises whatever it likes if the state does not fit."""

_NAME = re.compile(r"checkpoint-(\d+)\.pt")
_MARKER = b"autoseg-sha256:"
_FOOTER_SIZE = len(_MARKER) + hashlib.sha256().digest_size


_CONTENT = schema.fields(
    required={
        "format_version": schema.whole(1),
        "step": schema.whole(),
        "identity": schema.mapping,
        "metrics_bytes": schema.whole(),
        "state": schema.mapping,
    }
)
_MAX_LISTED = 3


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
    for other_step, other in _checkpoints(folder):
        if other_step > step:
            other.unlink()
    remove_superseded(folder, step=step)
    return path


def remove_superseded(folder: Path, *, step: int) -> None:
    """Delete what the checkpoint of a step and the newest one before it have replaced.

    A kill between saving and this leaves one file too many, and a run that has nothing more to save
    would keep it.
    """
    earlier = [path for other_step, path in _checkpoints(folder) if other_step < step]
    for path in earlier[1:]:
        path.unlink()


def load_checkpoint(
    folder: Path,
    *,
    identity: Mapping[str, Any],
    map_location: torch.device | str,
    restore: Restore | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Checkpoint | None:
    """Read the newest checkpoint that is whole.

    Args:
        folder: The run folder.
        identity: What the run is; must equal what the checkpoint was saved with.
        map_location: Device for the tensors.
        restore: Takes the state over. A checkpoint that it cannot take counts as damaged, and it is
            then called with the one before, which replaces all that it took from the first.
        defaults: What fields of `identity` were before they were recorded.

    Returns:
        The checkpoint, or None if the folder has none.

    Warns:
        UserWarning: If the newest file is damaged and the one before it is taken; if an earlier
            autoseg wrote it and it does not say all of what the run is.

    Raises:
        UsageError: If the checkpoint belongs to another run, or a newer autoseg wrote it.
        FileError: If there are checkpoints and every one is damaged.
        OSError: If the file system refuses, with the file's name.
    """
    damages: list[str] = []
    wanted = to_json(identity, where="identity")
    assert isinstance(wanted, dict)
    for step, path in _checkpoints(folder):
        try:
            content = _read(path, step, map_location)
            _require_same_identity(path, content, wanted, defaults or {})
            if restore is not None:
                with reading(path, "a checkpoint of this run"):
                    restore(content["state"])
        except FileError as damage:
            damages.append(str(damage).rstrip("."))
            continue
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
    raise FileError(
        f"no checkpoint in {printable(str(folder))} can be used: {'; '.join(damages)}. Restore one "
        "from a backup, delete checkpoint-*.pt there to start this run again from step 0, or use "
        "another --out."
    )


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """List (step, file), newest first."""
    found = []
    for path in folder.glob("checkpoint-*.pt"):
        match = _NAME.fullmatch(path.name)
        if match:
            found.append((int(match[1]), path))
    return sorted(found, reverse=True)


def _read(path: Path, step: int, map_location: torch.device | str) -> dict[str, Any]:
    """Read and verify a file.

    Raises:
        FileError: If it is not what was written under this name.
    """
    name = printable(str(path))
    with reading(path, "a checkpoint"):
        data = read_regular_file(path)
    archive, footer = memoryview(data)[:-_FOOTER_SIZE], data[-_FOOTER_SIZE:]
    if not footer.startswith(_MARKER):
        raise FileError(f"{name} is truncated: its checksum is missing ({len(data)} bytes)")
    if hashlib.sha256(archive).digest() != footer[len(_MARKER) :]:
        raise FileError(f"{name} is corrupt: its checksum does not match its content")
    # The bytes are as they were written: what is wrong from here on was not written by autoseg.
    with reading(path, "a checkpoint of autoseg"):
        try:
            content = load_pickled(io.BytesIO(archive), map_location=map_location)
        except pickle.UnpicklingError as error:
            # torch's message advises to execute what the file holds.
            raise ValueError("it holds more than tensors and numbers; not loaded") from error
        schema.fields(required={"format_version": schema.whole(1)})(content, "")
        version = content["format_version"]
        require_known_version(path, version, newest=CHECKPOINT_FORMAT_VERSION)
        _CONTENT(content, "")
        if content["step"] != step:
            raise ValueError(f"it is of step {content['step']}, and its name says {step}")
    return content


def _require_same_identity(
    path: Path,
    content: Mapping[str, Any],
    wanted: dict[str, JsonValue],
    defaults: Mapping[str, Any],
) -> None:
    with reading(path, "a checkpoint of autoseg"):
        saved = to_json(content["identity"], where="identity")
    known = to_json(defaults, where="defaults")
    assert isinstance(saved, dict) and isinstance(known, dict)
    saved = {**{name: known[name] for name in known if name in wanted}, **saved}
    unsaid = [name for name in wanted if name not in saved]
    if unsaid and content["format_version"] == 1:
        warnings.warn(
            f"{printable(str(path))} was written by an earlier autoseg and says nothing of its "
            f"{', '.join(unsaid)}: make sure that it is the same as now.",
            stacklevel=3,
        )
        saved |= {name: wanted[name] for name in unsaid}
    differences = list(_differences(saved, wanted, ""))
    if differences:
        listed = "; ".join(differences[:_MAX_LISTED])
        rest = len(differences) - _MAX_LISTED
        raise UsageError(
            f"checkpoint {printable(str(path))} is not of this run as it is started now: {listed}"
            f"{f'; and {rest} more' if rest > 0 else ''}. Resume with the settings and the data "
            "that the run was started with, or start a new one with another --out."
        )


_UNSET = object()


def _differences(saved: object, wanted: object, name: str) -> Iterator[str]:
    """Say where two values differ, a phrase for each innermost place."""
    if isinstance(saved, dict) and isinstance(wanted, dict):
        for key in dict.fromkeys((*saved, *wanted)):
            inner = f"{name}.{key}" if name else key
            yield from _differences(saved.get(key, _UNSET), wanted.get(key, _UNSET), inner)
    elif isinstance(saved, list) and isinstance(wanted, list) and len(saved) == len(wanted):
        for place, (one, other) in enumerate(zip(saved, wanted, strict=True)):
            yield from _differences(one, other, f"{name}[{place}]")
    elif saved != wanted or isinstance(saved, bool) != isinstance(wanted, bool):
        yield f"{printable(name)} was {_shown(saved)}, and is {_shown(wanted)} now"


def _shown(value: object) -> str:
    if value is _UNSET:
        return "not set"
    text = printable(repr(value))
    return text if len(text) <= 100 else f"{text[:100]}..."


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
