"""Seeded damage to files and JSON values, for the tests that hold every reader to its errors."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autoseg.errors import FileError, UsageError

NASTY_NUMBERS = (b"\x00" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00")


def damaged_bytes(content: bytes, *, count: int, seed: int = 0) -> Iterator[bytes]:
    """Give `count` damaged copies: cut, bits flipped, bytes set, removed, doubled or moved."""
    generator = random.Random(seed)

    def place(data: bytearray) -> int:
        # Headers decide most: half of the damage is done to the first 64 bytes.
        end = len(data) if generator.random() < 0.5 else min(64, len(data))
        return generator.randrange(max(1, end))

    def cut(data: bytearray) -> bytearray:
        return data[: place(data)]

    def flip(data: bytearray) -> bytearray:
        if data:
            data[place(data)] ^= 1 << generator.randrange(8)
        return data

    def write(data: bytearray) -> bytearray:
        at = place(data)
        data[at : at + 4] = generator.choice(NASTY_NUMBERS)
        return data

    def remove(data: bytearray) -> bytearray:
        at = place(data)
        del data[at : at + generator.randrange(1, 9)]
        return data

    def double(data: bytearray) -> bytearray:
        at = place(data)
        data[at:at] = data[at : at + generator.randrange(1, 33)]
        return data

    def insert(data: bytearray) -> bytearray:
        at = place(data)
        data[at:at] = generator.randbytes(generator.randrange(1, 9))
        return data

    ways = (cut, flip, flip, write, remove, double, insert)
    for _ in range(count):
        data = bytearray(content)
        for _ in range(generator.choice((1, 1, 2, 4))):
            data = generator.choice(ways)(data)
        yield bytes(data)


NASTY_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**31 - 1,
    2**63,
    10**400,
    0.5,
    1e308,
    "",
    "nan",
    "../../x",
    "a\x00b",
    "\x1b[31mred",
    "\ud800",
    [],
    {},
    [[[]]],
    {"": {}},
)


def damaged_json(value: Any, *, count: int, seed: int = 0) -> Iterator[Any]:
    """Give `count` copies of a JSON value with one to three places replaced, removed or added."""
    generator = random.Random(seed)
    for _ in range(count):
        changed = json.loads(json.dumps(value))
        for _ in range(generator.choice((1, 1, 2, 3))):
            changed = _damage(changed, generator)
        yield changed


def _damage(value: Any, generator: random.Random) -> Any:
    if isinstance(value, dict | list) and value and generator.random() < 0.85:
        key = generator.choice(list(value) if isinstance(value, dict) else range(len(value)))
        way = generator.random()
        if way < 0.15:
            del value[key]
        elif way < 0.25 and isinstance(value, dict):
            value[generator.choice(["unknown", "", str(key) + "s"])] = value[key]
        else:
            value[key] = _damage(value[key], generator)
        return value
    return copy.deepcopy(generator.choice(NASTY_VALUES))  # the next damage may be inside it


def require_clean_refusals(
    read: Callable[[Path], object],
    path: Path,
    contents: Iterator[bytes],
    *,
    allowed: tuple[type[Exception], ...] = (UsageError, FileError, OSError),
) -> None:
    """Read damaged contents one after the other: each is read, or refused with the file's name.

    Args:
        read: Reads the file; what it returns does not matter, damage may go unseen in a payload.
        path: Where each content is written; its name has to appear in the message.
        contents: As `damaged_bytes` gives them.
        allowed: The errors that count as a refusal.
    """
    num_read = num_refused = 0
    for content in contents:
        path.write_bytes(content)
        try:
            read(path)
        except allowed as error:
            num_refused += 1
            message = str(error)
            assert path.name in message, f"no file's name in {message!r} for {content[:80]!r}"
            assert "\n" not in message and "\x1b" not in message, message
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error} for {content[:200]!r}")
        else:
            num_read += 1
    assert num_read + num_refused > 0
    assert num_refused > 0, "no damage was ever refused: the reader checks nothing"
