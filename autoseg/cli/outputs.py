"""Refuse results that would replace an input, or each other, before anything is written."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from autoseg.errors import UsageError
from autoseg.foreign_text import listed, printable


def refuse_clashes(
    outputs: Iterable[tuple[Path, Path]], *, inputs: Iterable[Path], out: Path
) -> None:
    """Compare the names of all results with all inputs, and with each other.

    Names that differ in upper and lower case alone count as one, as they are one on many disks.

    Args:
        outputs: Each result's path, and the input that it comes from.
        inputs: Files that must stay as they are.
        out: Folder of the results, as the user named it.

    Raises:
        UsageError: If a result would be written over an input, or over any file that stands beside
            an input, or two to one name; both are named.
    """
    kept = {_identity(path): path for path in inputs}
    folders = {Path(identity).parent for identity in kept}
    sources: dict[str, Path] = {}
    for path, source in outputs:
        identity = _identity(path)
        if identity in kept:
            raise UsageError(
                f"the result {_shown(path)} would replace the input {_shown(kept[identity])}; name "
                f"another folder than --out {_shown(out)}."
            )
        if Path(identity).parent in folders and path.exists():
            raise UsageError(
                f"{_shown(path)} exists in a folder that holds an input, and would be replaced; "
                f"name another folder than --out {_shown(out)}."
            )
        if sources.setdefault(identity, source) != source:
            raise UsageError(
                f"{_shown(sources[identity])} and {_shown(source)} would both write "
                f"{_shown(path)}; rename one, or give them different --out."
            )


def _identity(path: Path) -> str:
    return str(path.parent.resolve() / path.name).casefold()


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


def summary_of_failures(failures: Sequence[tuple[Path, str]], *, num_files: int) -> str:
    """Say which files could not be used, and that the others were done.

    Args:
        failures: Each file and the reason, which names it.
        num_files: How many there were in all, more than one.
    """
    reasons = "".join(f"\n  {reason}" for _, reason in failures)
    if len(failures) == num_files:
        return f"none of the {num_files} images could be done.{reasons}"
    return f"{len(failures)} of {num_files} images could not be done; the others were.{reasons}"
