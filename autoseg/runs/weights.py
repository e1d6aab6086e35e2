"""Weights of a network in a run folder: safetensors files, no pickle, verified on load."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from torch import Tensor

from autoseg.atomic import atomic_write
from autoseg.errors import FileError, UsageError, reading, unknown_name
from autoseg.foreign_text import printable, utf8_path

Which = Literal["best", "last"]

_WHICH = ("best", "last")
_CHECKSUM = "sha256"


def weights_path(folder: Path, which: Which) -> Path:
    """Name the file that holds a run's weights.

    Args:
        folder: The run folder.
        which: "best" (by validation) or "last".

    Returns:
        `folder`/weights-`which`.safetensors, which may not exist.

    Raises:
        UsageError: If `which` is another word.
    """
    if which not in _WHICH:
        raise unknown_name("weights", which, _WHICH)
    return Path(folder) / f"weights-{which}.safetensors"


def save_weights(
    folder: Path, which: Which, state_dict: Mapping[str, Tensor], *, metadata: Mapping[str, str]
) -> Path:
    """Write a network's weights, all of them or nothing.

    Args:
        folder: The run folder.
        which: "best" or "last".
        state_dict: Tensors by name; copied to the CPU, dtypes kept.
        metadata: Text stored in the file, for example the network's name; "sha256" is taken.

    Returns:
        The file written.

    Raises:
        ValueError: If `metadata` has the key "sha256".
        OSError: If the file cannot be written; the previous weights are untouched then.
    """
    path = weights_path(folder, which)
    write_tensors(path, state_dict, metadata=metadata)
    return path


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str]
) -> None:
    """Write tensors with their checksum, all of them or nothing.

    Arguments and errors are those of `save_weights`, with the file itself in place of folder and
    name.
    """
    if _CHECKSUM in metadata:
        raise ValueError(f"save_weights: the metadata key {_CHECKSUM!r} is taken by the checksum.")
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = safetensors.torch.save(plain, {**metadata, _CHECKSUM: _checksum(plain)})
    atomic_write(path, content)


def load_weights(folder: Path, which: Which = "best") -> dict[str, Tensor]:
    """Read a network's weights and verify them.

    Args:
        folder: The run folder.
        which: "best" or "last".

    Returns:
        Tensors by name, on the CPU.

    Raises:
        UsageError: If the run has no such weights.
        FileError: If the file is truncated or corrupt, or no run wrote it.
    """
    path = weights_path(folder, which)
    stated = weights_sha256(folder, which)
    return read_tensors(path, stated, remedy=_remedy(path))


def read_tensors(path: Path, stated_sha256: str, *, remedy: str) -> dict[str, Tensor]:
    """Read all tensors of a file and hold them against the checksum that its metadata state.

    Args:
        path: A safetensors file.
        stated_sha256: What `read_metadata` found there.
        remedy: What to do about a damaged file.

    Raises:
        FileError: If the file is truncated or corrupt.
    """
    with reading(path, "whole", remedy=remedy), utf8_path(path) as named:
        tensors = safetensors.torch.load_file(named)
        checksum = _checksum(tensors)
    # safetensors checks the length of the file, not its content.
    if stated_sha256 != checksum:
        raise FileError(
            f"{printable(str(path))} is corrupt: its checksum does not match its content; {remedy}."
        )
    return tensors


def weights_sha256(folder: Path, which: Which = "best") -> str:
    """Read the checksum that a network's weights state, without the weights.

    Args:
        folder: The run folder.
        which: "best" or "last".

    Raises:
        UsageError: If the run has no such weights.
        FileError: If the file is truncated or corrupt, or no run wrote it.
    """
    metadata = load_weights_metadata(folder, which)
    if _CHECKSUM not in metadata:
        path = weights_path(folder, which)
        raise FileError(
            f"{printable(str(path))} has no checksum, so that no run of autoseg wrote it; "
            f"{_remedy(path)}."
        )
    return metadata[_CHECKSUM]


def load_weights_metadata(folder: Path, which: Which = "best") -> dict[str, str]:
    """Read the text stored beside a network's weights.

    Args:
        folder: The run folder.
        which: "best" or "last".

    Returns:
        The metadata given to `save_weights`, and the checksum as "sha256".

    Raises:
        UsageError: If the run has no such weights.
        FileError: If the file is truncated or corrupt.
    """
    path = weights_path(folder, which)
    if not path.is_file():
        others = sorted(other.name for other in path.parent.glob("weights-*.safetensors"))
        present = f"it has {', '.join(others)}" if others else "it has no weights yet"
        raise UsageError(f"{path} does not exist; {present}. Retrain it, or name another run.")
    return read_metadata(path, remedy=_remedy(path))


def read_metadata(path: Path, *, remedy: str) -> dict[str, str]:
    """Read the text stored beside the tensors of a file, with the checksum as "sha256".

    Args:
        path: A safetensors file.
        remedy: What to do about a damaged file.

    Raises:
        FileError: If the file is truncated or corrupt.
    """
    with (
        reading(path, "whole", remedy=remedy),
        utf8_path(path) as named,
        safetensors.safe_open(named, framework="pt") as file,
    ):
        return file.metadata() or {}


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        # Through uint8: numpy has no bfloat16.
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _remedy(path: Path) -> str:
    return (
        "restore it, use the run's other weights if they are whole, or retrain "
        f"{printable(str(path.parent))}"
    )
