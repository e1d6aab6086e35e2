"""Files of weights: told by their content, read without running any code of theirs.

A file is what its first bytes say, whatever its name's ending. Of a file that torch saved nothing
but tensors is made (`weights_only`); what people save beside them, the script's arguments and a
numpy score, is passed over (`PASSED_OVER`), and anything else that needs code is refused.
"""

import codecs
import os
import pickle
import re
import stat
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from autoseg.errors import FileError, UsageError, reading
from autoseg.foreign_text import listed, printable, utf8_path
from autoseg.pickles import OddPickleError, load_pickled

AVERAGED = ("state_dict_ema", "ema_state_dict", "model_ema", "ema", "params_ema")
"""Keys under which training scripts keep a moving average of the weights, which scores better."""
WRAPPERS = (
    *("state_dict", "model_state_dict", "model_state", "model", "network", "net", "module"),
    *("weights", "params"),
    "state",  # a run's checkpoint here: "state" over "network"
)
"""Keys under which they keep the weights themselves."""
ENDINGS = (".safetensors", ".pth", ".pt", ".ckpt")
"""Endings of files of weights, as they are offered where a folder was named."""
MAX_DEPTH = 4
"""Wrappers within wrappers; "ema" over "state_dict" over "module" are three."""

_AGAIN = "copy or download it again"
_SIGNATURES = (
    (
        b"version https://git-lfs",
        "is a Git LFS pointer, not the weights that it stands for; run `git lfs pull` where it "
        "was cloned",
    ),
    (b"\x1f\x8b", "is compressed by gzip; unpack it and name what was in it"),
    (b"BZh", "is compressed by bzip2; unpack it and name what was in it"),
    (b"\xfd7zXZ", "is compressed by xz; unpack it and name what was in it"),
    (b"7z\xbc\xaf", "is a 7z archive; unpack it and name the file in it"),
    (b"\x89HDF\r\n", "is an HDF5 file, as Keras saves; save the tensors as .safetensors"),
)
_HTML = re.compile(rb"\s*(<\?xml|<!doctype|<!--|<html|<head)", re.IGNORECASE)
_TAR_MARK = (257, b"ustar")
_HEAD_SIZE = 512


class _PassedOver:
    """Stands where a file has something that weights do not need: made of anything, holds nothing.

    Its names in `PASSED_OVER` are looked up by the unpickler in place of the real ones, so that
    neither argparse nor numpy is handed bytes of the file: a numpy dtype built from hostile state
    can reinterpret bytes as pointers.
    """

    def __new__(cls, *arguments: object) -> "_PassedOver":
        return object.__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Keep nothing."""


_NUMPY_DTYPES = ("Float16", "Float32", "Float64", "Int32", "Int64", "UInt8", "Bool", "Str")
PASSED_OVER = (
    "argparse.Namespace",  # the arguments of torchvision's and most others' training scripts
    *("pathlib.Path", "pathlib.PosixPath", "pathlib.PurePosixPath", "pathlib.WindowsPath"),
    *("pathlib._local.Path", "pathlib._local.PosixPath", "pathlib._local.WindowsPath"),
    *(f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")),  # a best score
    *(f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")),
    *("numpy.ndarray", "numpy.dtype"),
    *(f"numpy.dtypes.{name}DType" for name in _NUMPY_DTYPES),
)
"""What is commonly saved beside the weights, and harmless to leave out."""


class WeightFile(NamedTuple):
    """The tensors of a file."""

    path: Path
    """The file."""
    tensors: dict[str, Tensor]
    """The tensors, on the CPU, by the names in the file."""
    notes: tuple[str, ...]
    """What was taken and what was passed over, for the user: "taken from 'state_dict'"."""


def read_weights(path: Path | str) -> WeightFile:
    """Read the tensors of a file, on the CPU.

    Args:
        path: A safetensors file; or one that torch saved, with a state dict alone or under one of
            `AVERAGED` and `WRAPPERS`, of which the average is taken where there are both.

    Raises:
        UsageError: If there is no such file, or the path is a folder.
        FileError: If the file is no weights file, is damaged, or needs code of others to be read.
        OSError: If the file system refuses; the message names the file.
    """
    path = Path(path)
    with reading(path, "a whole file of weights", remedy=_AGAIN):
        _require_file(path)
        head, size = _head(path)
        if problem := _problem(head, size):
            raise FileError(f"{_shown(path)} {problem}.")
        if _is_safetensors(path, head, size):
            with utf8_path(path) as named:
                return WeightFile(path, safetensors.torch.load_file(named), ())
        if head.startswith(b"PK"):
            _require_archive_of_torch(path, size)
        content = _unpickle(path)
    return _unwrap(path, content)


def _require_file(path: Path) -> None:
    """Refuse what does not exist, and what would be read without an end.

    Raises:
        UsageError: If it is not a regular file; of a folder, the message lists weights in it.
    """
    if not path.exists():
        raise UsageError(f"weights: {_shown(path)} does not exist.")
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        inside = next(filter(None, (_names_in(path, ending) for ending in ENDINGS)), [])
        remedy = f"name one of its files: {listed(inside)}" if inside else "name a file"
        raise UsageError(f"weights: {_shown(path)} is a folder; {remedy}.")
    if not stat.S_ISREG(mode):
        raise UsageError(f"weights: {_shown(path)} is a pipe or device; name a regular file.")


def _names_in(folder: Path, ending: str) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix.lower() == ending)


def _head(path: Path) -> tuple[bytes, int]:
    with path.open("rb") as file:
        return file.read(_HEAD_SIZE), os.fstat(file.fileno()).st_size


def _problem(head: bytes, size: int) -> str | None:
    """Say what the file is, if it is something else than weights that people often have instead."""
    if size == 0:
        return f"is empty; {_AGAIN}"
    for signature, problem in _SIGNATURES:
        if head.startswith(signature):
            return problem
    at, mark = _TAR_MARK
    if head[at : at + len(mark)] == mark:
        return "is a tar archive; unpack it and name the file of weights in it"
    if _HTML.match(head):
        return (
            "is a web page, not weights: the download was answered by a page (a login, a warning, "
            "an error); save the file itself with a browser"
        )
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # may end within a character
    except UnicodeDecodeError:
        return None
    if all(character.isprintable() or character.isspace() for character in text):
        return f"is text, not weights; it begins with {text[:40].strip()!r}"
    return None


def _is_safetensors(path: Path, head: bytes, size: int) -> bool:
    if len(head) > 8 and head[8:9] == b"{":
        (header_size,) = struct.unpack("<Q", head[:8])
        if header_size <= size - 8:
            return True
    return path.suffix.lower() == ".safetensors" and not head.startswith(b"PK")


def _require_archive_of_torch(path: Path, size: int) -> None:
    """Check an archive's table of contents before anything is unpacked.

    Raises:
        FileError: If the archive is cut, compressed, or not one that `torch.save` wrote.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise FileError(
            f"{_shown(path)} is cut off or damaged: it has {size:,} bytes, and no table of "
            f"contents at its end, which every file of torch.save has; {_AGAIN}."
        ) from error
    names = [entry.filename for entry in entries]
    if any(name.endswith("/constants.pkl") for name in names):
        raise FileError(
            f"{_shown(path)} is a TorchScript program, which is code; load it where it comes from "
            "and save its `state_dict()`."
        )
    if not any(name.endswith("/data.pkl") for name in names):
        raise FileError(
            f"{_shown(path)} is a zip archive that torch.save did not write (it holds "
            f"{listed(names)}); unpack it and name the file of weights in it."
        )
    # torch.save stores without compression, so that what is unpacked fits into the file.
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > size:
        raise FileError(
            f"{_shown(path)} would unpack to {unpacked:,} bytes from {size:,}, but torch.save "
            "does not compress: it was packed by another program, perhaps to do harm; save "
            "the weights with torch.save."
        )


def _unpickle(path: Path) -> Any:
    names: list[Any] = [(_PassedOver, name) for name in PASSED_OVER]
    # Opened here: torch takes the ending of a name, not the content, for the format.
    with (
        path.open("rb") as file,
        warnings.catch_warnings(),
        torch.serialization.safe_globals(names),
    ):
        warnings.simplefilter("ignore")  # about the pickle's version: it is read or refused
        try:
            return load_pickled(file, map_location="cpu")
        except pickle.UnpicklingError as error:
            raise _refused(path, error) from error


def _refused(path: Path, error: pickle.UnpicklingError) -> FileError:
    """Put in one line what torch refuses to unpickle, without its advice to do so unprotected."""
    if needed := re.search(r"GLOBAL (\S+)", str(error)):
        return FileError(
            f"{_shown(path)} needs code to be read ({printable(needed[1])[:100]}), and none is run "
            "that a file names; where you trust it, load it with torch and save the network's "
            "`state_dict()` alone."
        )
    reason = re.search(r"WeightsUnpickler error:\s*(\S.*)", str(error))
    text = str(error) if isinstance(error, OddPickleError) else reason and reason[1]
    said = f" ({printable(text)[:100].rstrip('.')})" if text else ""
    return FileError(
        f"{_shown(path)} is no pickle as torch.save writes it{said}; {_AGAIN}, or save "
        "`network.state_dict()` with torch.save or as .safetensors."
    )


def _unwrap(path: Path, content: Any) -> WeightFile:
    """Find the state dict in what a training script saved.

    Raises:
        FileError: If there is none; the message lists what there is.
    """
    found = next(_state_dicts(content, ()), None)
    if found is None:
        holds = f"a {type(content).__name__}"
        if isinstance(content, Mapping):
            holds = (
                f"entries under {listed([str(key) for key in content])}" if content else "nothing"
            )
        raise FileError(
            f"{_shown(path)} holds no state dict, tensors by name, but {holds}; save "
            "`network.state_dict()` with torch.save."
        )
    keys, state_dict = found
    tensors = {name: value for name, value in state_dict.items() if isinstance(value, Tensor)}
    notes = []
    if keys:
        notes.append(f"taken from {'.'.join(keys)!r}")
        if keys[0] in AVERAGED and (plain := next(iter(_keys_in(content, WRAPPERS)), None)):
            notes[0] += f", the moving average, and not from {plain!r}"
    others = [str(name) for name in state_dict if name not in tensors]
    if others:
        notes.append(f"passed over, as no tensors: {listed(others)}")
    return WeightFile(path, tensors, tuple(notes))


def _state_dicts(
    content: Any, keys: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Give the mappings from names to tensors under known keys, the preferred one first."""
    if not isinstance(content, Mapping) or len(keys) > MAX_DEPTH:
        return
    for key in _keys_in(content, (*AVERAGED, *WRAPPERS)):
        yield from _state_dicts(content[key], (*keys, key))
    if any(isinstance(value, Tensor) for value in content.values()) and all(
        isinstance(name, str) for name in content
    ):
        yield keys, content


def _keys_in(content: Mapping[Any, Any], keys: tuple[str, ...]) -> Iterator[str]:
    return (key for key in keys if isinstance(content.get(key), Mapping))


def _shown(path: Path) -> str:
    return printable(os.fspath(path))
