"""Read JSON that may have been damaged, written by hand or made to do harm.

A leaf that every folder may import.
"""

import json
import math
import stat
from collections import Counter
from pathlib import Path

from autoseg.errors import reading

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]

MAX_BYTES = 2**26
"""Largest JSON file that is read, 64 MiB: ours are a thousandth of it."""

_MAX_DEPTH = 50  # ours are nested five deep
_MAX_WHOLE = 2**64


def read_json(path: Path, what: str, *, remedy: str = "") -> JsonValue:
    """Read a JSON file.

    Args:
        path: The file.
        what: What it should be, with its article, for the message.
        remedy: What to do about a file that is not; see `reading`.

    Raises:
        FileError: If it is not a JSON file as `parse_json` takes it, or is too large.
        OSError: If the file system refuses, with the file's name; a missing file keeps its type.
    """
    with reading(path, what, remedy=remedy):
        return parse_json(read_regular_file(path, max_bytes=MAX_BYTES))


def read_regular_file(path: Path, *, max_bytes: int | None = None) -> bytes:
    """Read a file whole, and do not wait for ever for what a pipe or a device may give.

    Args:
        path: The file.
        max_bytes: Largest size; None is any.

    Raises:
        ValueError: If it is no regular file, or larger.
        OSError: If the file system refuses.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no regular file")
    if max_bytes is not None and status.st_size > max_bytes:
        raise ValueError(f"it has {status.st_size:,} bytes, more than {max_bytes:,}")
    return path.read_bytes()


def parse_json(data: bytes) -> JsonValue:
    """Parse JSON, and refuse what no record of ours can hold.

    Args:
        data: UTF-8; a byte order mark, which some editors write, is passed over.

    Raises:
        ValueError: If it is not UTF-8 or not JSON; if a key occurs twice, a number is not finite or
            has more than 64 bits, a text holds NUL or half of a surrogate pair; if it is nested
            deeper than anything of ours.
        RecursionError: If it is nested deeper than Python's parser follows.
    """
    value = json.loads(
        data.decode("utf-8-sig"), parse_constant=_refuse_constant, object_pairs_hook=_unique
    )
    # Half a surrogate pair and NUL can only come from an escape: UTF-8 has no such half, and JSON
    # no control characters.
    _check(value, checks_texts=rb"\u" in data)
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}, which JSON does not have")


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    values = dict(pairs)
    if len(values) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"it has the key {twice[:40]!r} twice")
    return values


def _check(value: JsonValue, *, checks_texts: bool) -> None:
    """Look at every number and, if asked, text; a loop, for the depth is what is in doubt."""
    level: list[JsonValue] = [value]
    for _ in range(_MAX_DEPTH):
        inner: list[JsonValue] = []
        for item in level:
            if isinstance(item, str):
                if checks_texts:
                    _check_text(item)
            elif isinstance(item, dict):
                if checks_texts:
                    inner += item
                inner += item.values()
            elif isinstance(item, list):
                inner += item
            elif isinstance(item, float):
                if not math.isfinite(item):
                    raise ValueError("it holds a number that is too large")
            elif isinstance(item, int) and abs(item) >= _MAX_WHOLE:
                raise ValueError("it holds a whole number of more than 64 bits")
        level = inner
        if not level:
            return
    raise ValueError("it is nested too deeply")


def _check_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"it holds {value[:40]!r}, with half of a surrogate pair") from None
    if "\0" in value:
        raise ValueError(f"it holds {value[:40]!r}, with a NUL")
