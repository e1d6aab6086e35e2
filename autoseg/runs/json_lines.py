"""Files of JSON objects, one a line, that are only ever appended to.

A kill or a full disk can cut the last line, and nothing else: that is healed. A bad line before it
means that the file was damaged, which is told before anything is built on it.
"""

import contextlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoseg.atomic import write_error
from autoseg.errors import reading
from autoseg.foreign_text import printable
from autoseg.json_file import parse_json, read_regular_file
from autoseg.runs.schema import Check

_MAX_BYTES = 2**30
"""Largest file, 1 GiB: millions of steps."""


class JsonLines:
    """Append objects to a file that was verified; after a kill it holds whole lines only.

    Attributes:
        path: The file.
        values: The objects in it, oldest first.
    """

    path: Path
    values: list[dict[str, Any]]

    def __init__(self, path: Path, *, check: Check, remedy: str) -> None:
        """Open the file, creating it if need be, verify it, and drop a last line that was cut off.

        Args:
            path: The file; the caller holds a lock on it.
            check: What every object must be.
            remedy: What the user can do about a damaged line; see `reading`.

        Raises:
            FileError: If a line other than the last is damaged; names it.
            OSError: If the file cannot be written.
        """
        self.path = path
        try:
            # Unbuffered: a line is one write, so a reader or a kill sees it whole.
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise write_error(path, error) from error
        try:
            self.values, self._ends, rest = _read(path, check=check, remedy=remedy)
            self._heal(rest, check)
        except BaseException:
            self._file.close()
            raise

    @property
    def num_bytes(self) -> int:
        """Length of the file."""
        return self._ends[-1] if self._ends else 0

    def append(self, *values: Mapping[str, Any]) -> None:
        """Write objects, a line each, in one go.

        Args:
            values: Objects of JSON values, in which no number is NaN or infinite.

        Raises:
            OSError: If the disk is full; the lines before them are untouched.
        """
        lines = [
            json.dumps(v, allow_nan=False, ensure_ascii=False).encode() + b"\n" for v in values
        ]
        data = b"".join(lines)
        try:
            written = self._file.write(data)
            if written != len(data):  # a disk that fills up in the middle of a line says so here
                raise OSError(None, f"only {written} of {len(data)} bytes fitted on the disk")
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(self.num_bytes)
            raise write_error(self.path, error) from error
        for value, line in zip(values, lines, strict=True):
            self.values.append(dict(value))
            self._ends.append(self.num_bytes + len(line))

    def end_of(self, num_lines: int) -> int:
        """Return the length of the file's first lines, in bytes."""
        return self._ends[num_lines - 1] if num_lines else 0

    def truncate(self, num_lines: int) -> None:
        """Keep the first lines and forget the others."""
        self._file.truncate(self.end_of(num_lines))
        del self.values[num_lines:], self._ends[num_lines:]

    def sync(self) -> None:
        """Make sure that the lines written so far survive a power cut.

        Raises:
            OSError: If the disk refuses them.
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise write_error(self.path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _heal(self, rest: bytes, check: Check) -> None:
        """Complete or drop what stands after the last line end."""
        if not rest:
            return
        try:
            # Whole but for its end, which an editor may strip: half an object is never valid.
            value = _parse(rest, check)
        except (ValueError, RecursionError):
            self._file.truncate(self.num_bytes)
            warnings.warn(
                f"the last line of {printable(str(self.path))} was cut off ({len(rest)} bytes), as "
                "a kill or a full disk does it; it is dropped.",
                stacklevel=3,
            )
        else:
            self._file.write(b"\n")
            self.values.append(value)
            self._ends.append(self.num_bytes + len(rest) + 1)


def read_json_lines(path: Path, *, check: Check, remedy: str) -> list[dict[str, Any]]:
    """Read the whole lines of a file that another process may be writing.

    Args:
        path: The file.
        check: What every object must be.
        remedy: What the user can do about a damaged line; see `reading`.

    Returns:
        The objects, oldest first; a last line that has no end yet is left out.

    Raises:
        FileError: If a line is damaged; names it.
        OSError: If the file system refuses.
    """
    values, _, _ = _read(path, check=check, remedy=remedy)
    return values


def _read(
    path: Path, *, check: Check, remedy: str
) -> tuple[list[dict[str, Any]], list[int], bytes]:
    """Return the objects, where the line of each ends in the file, and what stands after them."""
    with reading(path, "a file of JSON lines"):
        content = read_regular_file(path, max_bytes=_MAX_BYTES)
        *lines, rest = content.split(b"\n")
    values: list[dict[str, Any]] = []
    ends: list[int] = []
    for number, line in enumerate(lines, start=1):
        with reading(f"{path}, line {number},", "as it was written", remedy=remedy):
            values.append(_parse(line, check))
        ends.append((ends[-1] if ends else 0) + len(line) + 1)
    return values, ends, rest


def _parse(line: Sequence[int] | bytes, check: Check) -> dict[str, Any]:
    value = parse_json(bytes(line))
    check(value, "")
    assert isinstance(value, dict)
    return value
