"""Damage that is drawn at random, for the tests that hold every reader to its errors.

A case costs little more than the reader, so that each is held to `NUM_CASES`. Hypothesis stays for
what has more structure than a file (`tests/cli/test_drawn_arguments.py`); its profile, chosen by
`--hypothesis-profile`, decides here too: "suite" by default, the same cases each time; "nightly"
draws ten times as many, from another seed each night.
"""

import base64
import json
import traceback
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Generic, TypeVar

from hypothesis import HealthCheck, settings

from autoseg.errors import FileError, UsageError

SUITE = "suite"
settings.register_profile(
    SUITE,
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    # Training a network before, or reading an image, is no fault of the drawing.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile(
    "nightly",
    settings.get_profile(SUITE),
    max_examples=400,
    derandomize=False,
    print_blob=True,
)

NUM_CASES = 2000
"""Damaged files that a reader is given."""
_MAX_TRIES = 300
"""Files that are read to find a smaller one over which a reader fails in the same place."""
_SHOWN = 1000
"""Bytes of a file that a message shows as they are."""

T = TypeVar("T")
U = TypeVar("U")


class Damage(Generic[T]):
    """What may have become of something."""

    def __init__(self, draw: Callable[[Random], T]) -> None:
        """Take the function that draws one case."""
        self.draw = draw

    def map(self, change: Callable[[T], U]) -> "Damage[U]":
        """Change what is drawn."""
        return Damage(lambda random: change(self.draw(random)))

    def __or__(self, other: "Damage[T]") -> "Damage[T]":
        """Draw from this or from another, as often from each."""
        return Damage(lambda random: (self if random.random() < 0.5 else other).draw(random))


NASTY_NUMBERS = (b"\x00" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00")
NASTY_TEXTS = (
    *(b"[" * 2000, b'{"a":' * 2000, b"a." * 2000, b"(" * 2000, b"9" * 5000, b"-", b"1e999"),
    *(b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x1b[31m", b"\r", b'"', b"'''"),
)
"""Nesting, long numbers, and what is no text, for files that are text."""


def damaged_bytes(content: bytes) -> Damage[bytes]:
    """Draw copies that are cut, with bits flipped, bytes set, removed, doubled or moved."""
    attacks = NASTY_TEXTS if _is_text(content) else NASTY_NUMBERS

    def draw(random: Random) -> bytes:
        data = bytearray(content)
        for _ in range(random.randint(1, 4)):
            _damage_bytes(random, data, attacks)
        return bytes(data)

    return Damage(draw)


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _damage_bytes(random: Random, data: bytearray, attacks: Sequence[bytes]) -> None:
    # Headers decide most: half of the damage is done to the first 64 bytes.
    end = len(data) if random.random() < 0.5 else min(64, len(data))
    at = random.randrange(end) if end else 0
    way = random.randrange(12)
    if way < 4:
        data[at : at + 1] = bytes(byte ^ 1 << random.randrange(8) for byte in data[at : at + 1])
    elif way < 6:
        data[at:at] = data[at : at + random.randint(1, 32)]
    elif way == 6:
        del data[at:]
    elif way == 7:
        moved = data[at : at + random.randint(1, 32)]
        del data[at : at + len(moved)]
        to = random.randint(0, len(data))
        data[to:to] = moved
    elif way == 8:
        data[at : at + random.randrange(9)] = random.choice(attacks)
    else:
        put = random.choice(NASTY_NUMBERS) if way == 9 else random.randbytes(random.randrange(9))
        data[at : at + random.randrange(9)] = put


NASTY_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**31 - 1, 2**63, 10**400, 0.5, 1e308, float("nan"), float("inf")),
    *("", "nan", "../../x", "a\x00b", "\x1b[31mred", "\ud800", "\u2028", "\u202e"),
    *([], {}, [[[]]], {"": {}}),
)


def damaged_json(value: Any) -> Damage[Any]:
    """Draw copies of a JSON value with one to three places replaced, removed or added."""

    def draw(random: Random) -> Any:
        damaged = value
        for _ in range(random.randint(1, 3)):
            damaged = _damage_value(random, damaged)
        return damaged

    return Damage(draw)


def _damage_value(random: Random, value: Any) -> Any:
    """Return a damaged value, which shares with the given one what was not damaged."""
    if not isinstance(value, dict | list) or not value or not random.randrange(7):
        return random.choice(NASTY_VALUES)
    changed: Any = value.copy()
    key = random.choice(list(value)) if isinstance(value, dict) else random.randrange(len(value))
    way = random.randrange(10)
    if way == 0:
        del changed[key]
    elif way == 1 and isinstance(value, dict):
        changed[random.choice(["unknown", "", f"{key}s"])] = value[key]
    else:
        changed[key] = _damage_value(random, value[key])
    return changed


def is_record(value: Any) -> bool:
    """Tell whether a value is still a JSON object."""
    return isinstance(value, dict)


def as_json(value: Any) -> bytes:
    """Write a value as files hold it."""
    return json.dumps(value).encode()


def as_json_lines(values: Any) -> bytes:
    """Write a list as logs hold it, an item a line; else the value."""
    lines = values if isinstance(values, list) else [values]
    return b"".join(as_json(line) + b"\n" for line in lines)


def cases(damage: Damage[T]) -> Iterator[T]:
    """Draw `NUM_CASES` cases, the same each time; or ten times as many, as the profile says."""
    profile, suite = settings(), settings.get_profile(SUITE)
    seed = 0 if profile.derandomize else SystemRandom().getrandbits(32)
    for number in range(NUM_CASES * profile.max_examples // suite.max_examples):
        yield damage.draw(Random(f"{seed}:{number}"))


def require_clean_refusals(
    read: Callable[[Path], object],
    path: Path,
    contents: Damage[bytes],
    *,
    past: Iterable[bytes] = (),
) -> None:
    """Read damaged contents one after the other: each is read, or refused with the file's name.

    One over which the reader fails is made as small as may be, and noted in the error as a literal
    for `past`.

    Args:
        read: Reads the file, and may assert that what it holds comes back from a copy.
        path: Where each content is written; its name has to appear in the message.
        contents: What to draw from.
        past: Contents that an earlier version did not refuse as it should; always read first.
    """
    num_refused = 0
    for content in chain(past, cases(contents)):
        try:
            num_refused += _is_refused(read, path, content)
        except Exception as error:
            small = _smaller(read, path, content, error)
            error.add_note(f"{path.name} held {_literal(small)}")
            raise
    assert num_refused > 0, "no damage was ever refused: the reader checks nothing"


def _is_refused(read: Callable[[Path], object], path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    try:
        read(path)
    except (UsageError, FileError, OSError) as error:
        message = str(error)
        assert path.name in message, f"no file's name in {message!r}"
        assert "\n" not in message and "\x1b" not in message, message
        return True
    return False


def _smaller(read: Callable[[Path], object], path: Path, content: bytes, error: Exception) -> bytes:
    """Leave out what the failure does not need: halves, quarters and so on, as tries allow."""
    num_tries, size = 0, len(content) // 2
    while size > 0:
        for start in range(len(content) - size, -1, -size):
            shorter = content[:start] + content[start + size :]
            if num_tries == _MAX_TRIES:
                return content
            num_tries += 1
            if _place(_failure(read, path, shorter)) == _place(error):
                content = shorter
        size //= 2
    return content


def _failure(read: Callable[[Path], object], path: Path, content: bytes) -> Exception | None:
    try:
        _is_refused(read, path, content)
    except Exception as error:
        return error
    return None


def _place(error: Exception | None) -> tuple[type, str, int] | None:
    """Tell failures apart: by their type, and the line that raised."""
    if error is None:
        return None
    last = traceback.extract_tb(error.__traceback__)[-1]
    return type(error), last.filename, last.lineno or 0


def _literal(content: bytes) -> str:
    if len(content) <= _SHOWN:
        return repr(content)
    return f"zlib.decompress(base64.b85decode({base64.b85encode(zlib.compress(content))!r}))"
