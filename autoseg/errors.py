"""Errors whose message tells the user what to do; every folder may import them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from os import PathLike, fspath

from autoseg.foreign_text import printable

_MAX_REASON = 300
"""Characters of a library's message that are shown: some print the whole of a damaged file."""


class UsageError(ValueError):
    """A request that cannot work as it was put; commands end with exit code 2."""


class FileError(ValueError):
    """A file that cannot be used as what it was given for; the message begins with its name."""


class LostProcessError(RuntimeError):
    """Another process of a job has gone; commands end with exit code 130, for it can be resumed."""


def unknown_name(
    kind: str, name: str, known: Iterable[str], *, listing: str | None = None
) -> UsageError:
    """Build the error for a name that is not in a table.

    Args:
        kind: What the name was taken for, for example "network".
        name: What the user wrote.
        known: The names that exist.
        listing: What is said in place of all these names, where there are many; None lists them.

    Returns:
        The error, to be raised by the caller; it names what is near: up to three names of which the
        name is a part or the initials, else the most similar one.
    """
    names = sorted(known)
    near = [repr(each) for each in _nearest(name, names)]
    hint = f"; did you mean {' or '.join(near)}?" if near else "."
    if listing is None:
        listing = f"Known: {', '.join(names)}." if names else "There is none."
    return UsageError(f"unknown {kind} {name!r}{hint} {listing}")


_MAX_PROPOSED = 3


def _nearest(name: str, known: Sequence[str]) -> list[str]:
    """List the names that are meant: where no other rule finds one, the most similar."""
    wanted = _words(name)
    rules = (
        lambda words: words == wanted,  # --Weight_lr
        lambda words: f" {wanted}" in f" {words}",  # --lr of --weight-lr, icnet of icnet_resnet50
        lambda words: wanted == "".join(word[0] for word in words.split()),  # --lr, --learning-rate
    )
    for rule in rules if wanted else ():
        if found := [each for each in known if rule(_words(each))]:
            return sorted(found, key=len)[:_MAX_PROPOSED]
    return get_close_matches(name, known, n=1, cutoff=0.5)


def _words(name: str) -> str:
    return " ".join(re.findall("[a-z0-9]+", name.lower()))


@contextmanager
def reading(path: str | PathLike[str], what: str, *, remedy: str = "") -> Iterator[None]:
    """Turn whatever a library raises over a file into one error that names the file.

    Wraps the calls that parse a foreign file. Libraries raise what they like over rotten bytes
    (Pillow a SyntaxError, NumPy a ValueError about pickles, struct, zlib and json their own), so
    this is the one place that catches all of it.

    Args:
        path: The file.
        what: What it should be, with its article, for example "a picture".
        remedy: What to do about bad content, for example "copy it again".

    Raises:
        FileError: If the file is not that: with its name and the library's reason in one line.
        OSError: If the file system refuses, with the file's name; a missing file keeps its type.

    Errors that already are ours (`UsageError`, `FileError`) pass through unchanged.
    """
    try:
        yield
    except (UsageError, FileError):
        raise
    except OSError as error:
        if error.errno is None:  # Pillow's way to say that the content is bad
            raise FileError(_complaint(path, what, error, remedy)) from error
        refusal = type(error)(f"{_name(path)} cannot be read: {error.strerror or error}.")
        refusal.errno = error.errno
        raise refusal from error
    except MemoryError as error:
        raise FileError(f"{_name(path)}: there is not enough memory to read it.") from error
    except Exception as error:
        raise FileError(_complaint(path, what, error, remedy)) from error


def _complaint(path: str | PathLike[str], what: str, error: Exception, remedy: str) -> str:
    end = f"; {remedy}." if remedy else "."
    return f"{_name(path)} is not {what}: {_reason(error)}{end}"


def _name(path: str | PathLike[str]) -> str:
    return printable(fspath(path))


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    lines = printable(str(error), keep="\n").strip().splitlines()
    reason = lines[0].strip().rstrip(".:") if lines else ""
    if len(reason) > _MAX_REASON:
        reason = reason[:_MAX_REASON].rsplit(" ", 1)[0] + " ..."
    return reason or type(error).__name__
