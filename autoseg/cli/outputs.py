"""Refuse results that would replace an input, or each other, before anything is written."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.errors import UsageError
from autoseg.foreign_text import listed, printable


def refuse_clashes(
    outputs: Iterable[tuple[Path, Path]], *, inputs: Iterable[Path], out: Path
) -> None:
    """Compare all results with all inputs, and with each other.

    What exists is compared as the file or folder that it is, whatever its name: links, and disks to
    which two spellings are one name. Names in one folder count as one too where they differ only in
    upper and lower case or in how accents are composed, as the results may go to such a disk later.

    Args:
        outputs: Each result's path, and the input that it comes from.
        inputs: Files that must stay as they are.
        out: Folder of the results, as the user named it.

    Raises:
        UsageError: If a result would be written over an input, or over any file that stands beside
            an input, or two to one name; both are named.
    """
    inputs = list(inputs)
    kept = {identity: path for path in inputs for identity in _identities(path)}
    folders = {_place(path.parent) for path in inputs}
    written: dict[_Identity, tuple[Path, Path]] = {}
    for path, source in outputs:
        for identity in _identities(path):
            if identity in kept:
                raise UsageError(
                    f"the result {_shown(path)} would replace the input {_shown(kept[identity])}"
                    f"{_as_one_file(identity)}; name another folder than --out {_shown(out)}."
                )
            other, other_source = written.setdefault(identity, (path, source))
            if other_source != source:
                names = _shown(path) if other == path else f"{_shown(other)} and {_shown(path)}"
                raise UsageError(
                    f"{_shown(other_source)} and {_shown(source)} would both write {names}"
                    f"{_as_one_file(identity)}; rename one, or give them different --out."
                )
        if path.exists() and _place(path.parent) in folders:
            raise UsageError(
                f"{_shown(path)} exists in a folder that holds an input, and would be replaced; "
                f"name another folder than --out {_shown(out)}."
            )


def refuse_replaced_input(out: Path, *, inputs: Iterable[Path]) -> None:
    """Refuse a result that would be written over a file which the command reads.

    Args:
        out: The result, which may replace any other file.
        inputs: The files.

    Raises:
        UsageError: If it is one of them, by its name or as the file that it is.
    """
    identities = set(_identities(out))
    for path in inputs:
        if identities.intersection(_identities(path)):
            raise UsageError(
                f"the result {_shown(out)} would replace the input {_shown(path)}; name another "
                "file with --out."
            )


@dataclass(frozen=True, slots=True)
class _Identity:
    """What makes two paths one: being one file, or one name in one folder."""

    device: int
    number: int
    """Device and number of the file, or of the deepest folder above it that exists."""
    names: tuple[str, ...] = ()
    """Names on the way from that folder to the file, folded; none for a file that exists."""


def _identities(path: Path) -> list[_Identity]:
    """List what a path is: a name in its folder and, where it exists, a file or folder."""
    above = _place(path.parent)
    identities = [replace(above, names=(*above.names, _folded(path.name)))]
    if path.exists():
        identities.append(_place(path))
    return identities


def _place(path: Path) -> _Identity:
    """Identify a path by what exists of it, and by the names of the rest."""
    path = path.absolute()
    existing = next(each for each in (path, *path.parents) if each.exists())
    found = existing.stat()
    names = tuple(map(_folded, path.relative_to(existing).parts))
    return _Identity(found.st_dev, found.st_ino, names)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _as_one_file(identity: _Identity) -> str:
    """Say why two names that do not look alike are one."""
    return "" if identity.names else " (links to one file, or one name to this disk)"


def _shown(path: Path) -> str:
    return printable(str(path))


def left_out_line(paths: Sequence[Path]) -> str:
    """Say which files of the folders named count as no images: the first by name, and how many."""
    what = "file" if len(paths) == 1 else "files"
    names = listed([path.name for path in paths])
    return f"left out, no images by their names: {len(paths):,} {what} ({names})"


def fault_of(path: Path, error: Exception) -> str:
    """Say why a file could not be used, with its name.

    A reader's error names it; a refusal that knows no files, as the CRF's of an image that memory
    does not hold, gets the name here.
    """
    return f"{path}: {error}" if isinstance(error, UsageError) else str(error)


_MAX_REASONS = 10
"""Files whose reason is told; thousands would scroll away what is said of all."""


def summary_of_failures(failures: Sequence[tuple[Path, str]], *, num_files: int) -> str:
    """Say which files could not be used, the first ones by name, and that the others were done.

    Args:
        failures: Each file and the reason, which names it.
        num_files: How many there were in all, more than one.
    """
    reasons = "".join(f"\n  {reason}" for _, reason in failures[:_MAX_REASONS])
    if len(failures) > _MAX_REASONS:
        reasons += f"\n  and {len(failures) - _MAX_REASONS:,} more"
    if len(failures) == num_files:
        return f"none of the {num_files:,} images could be done.{reasons}"
    return f"{len(failures):,} of {num_files:,} images could not be done; the others were.{reasons}"
