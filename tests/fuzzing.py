"""Damage that hypothesis draws, for the tests that hold every reader to its errors.

How many cases a test draws is decided by hypothesis' profile, here registered and chosen by
`--hypothesis-profile`: "suite" by default, the same cases each time, "nightly" ten times as many.
"""

import copy
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

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

NASTY_NUMBERS = (b"\x00" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00")


@st.composite
def damaged_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Draw a damaged copy: cut, bits flipped, bytes set, removed, doubled or moved."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        end = max(0, len(data) - 1)
        # Headers decide most: half of the damage is done to the first 64 bytes.
        at = draw(st.integers(0, min(63, end)) | st.integers(0, end))
        way = draw(st.sampled_from(("flip", "flip", "replace", "double", "cut")))
        if way == "flip":
            bit = 1 << draw(st.integers(0, 7))
            data[at : at + 1] = bytes(byte ^ bit for byte in data[at : at + 1])
        elif way == "double":
            data[at:at] = data[at : at + draw(st.integers(1, 32))]
        elif way == "cut":
            del data[at:]
        else:
            put = draw(st.sampled_from(NASTY_NUMBERS) | st.binary(max_size=8))
            data[at : at + draw(st.integers(0, 8))] = put
    return bytes(data)


NASTY_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**31 - 1, 2**63, 10**400, 0.5, 1e308, float("nan"), float("inf")),
    *("", "nan", "../../x", "a\x00b", "\x1b[31mred", "\ud800", "\u2028", "\u202e"),
    *([], {}, [[[]]], {"": {}}),
)


@st.composite
def damaged_json(draw: st.DrawFn, value: Any) -> Any:
    """Draw a copy of a JSON value with one to three places replaced, removed or added."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        value = _damage(draw, value)
    return value


def _damage(draw: st.DrawFn, value: Any) -> Any:
    if not isinstance(value, dict | list) or not value or not draw(st.integers(0, 6)):
        # Copied: the next damage may be inside it.
        return copy.deepcopy(draw(st.sampled_from(NASTY_VALUES)))
    key = draw(st.sampled_from(list(value) if isinstance(value, dict) else range(len(value))))
    way = draw(st.integers(0, 9))
    if way == 0:
        del value[key]
    elif way == 1 and isinstance(value, dict):
        value[draw(st.sampled_from(["unknown", "", f"{key}s"]))] = value[key]
    else:
        value[key] = _damage(draw, value[key])
    return value


def as_json(value: Any) -> bytes:
    """Write a value as files hold it."""
    return json.dumps(value).encode()


def as_json_lines(values: Any) -> bytes:
    """Write a list as logs hold it, an item a line; else the value."""
    lines = values if isinstance(values, list) else [values]
    return b"".join(as_json(line) + b"\n" for line in lines)


def require_clean_refusals(
    read: Callable[[Path], object],
    path: Path,
    contents: st.SearchStrategy[bytes],
    *,
    past: Iterable[bytes] = (),
) -> None:
    """Read drawn contents one after the other: each is read, or refused with the file's name.

    Args:
        read: Reads the file, and may assert that what it holds comes back from a copy.
        path: Where each content is written; its name has to appear in the message.
        contents: What to draw from.
        past: Contents that an earlier version did not refuse as it should; always read first.
    """
    num_refused = 0

    @given(contents)
    def check(content: bytes) -> None:
        nonlocal num_refused
        path.write_bytes(content)
        try:
            read(path)
        except (UsageError, FileError, OSError) as error:
            num_refused += 1
            message = str(error)
            assert path.name in message, f"no file's name in {message!r}"
            assert "\n" not in message and "\x1b" not in message, message

    for content in past:
        check = example(content)(check)
    check()
    assert num_refused > 0, "no damage was ever refused: the reader checks nothing"
