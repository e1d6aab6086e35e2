"""What the fields of a JSON object must be: small checks, put together to a description.

A check takes a value and its dotted name, and raises ValueError that holds name, value and rule.
"""

import reprlib
from collections.abc import Callable, Mapping
from datetime import datetime

from autoseg.foreign_text import printable
from autoseg.json_file import JsonValue

Check = Callable[[JsonValue, str], None]

_NO_CHECKS: Mapping[str, Check] = {}


def text(value: JsonValue, where: str) -> None:
    """Accept a string."""
    if not isinstance(value, str):
        raise _wrong(value, where, "a text")


def flag(value: JsonValue, where: str) -> None:
    """Accept true and false."""
    if not isinstance(value, bool):
        raise _wrong(value, where, "true or false")


def mapping(value: JsonValue, where: str) -> None:
    """Accept an object with any fields."""
    if not isinstance(value, dict):
        raise _wrong(value, where, "an object with fields")


def time(value: JsonValue, where: str) -> None:
    """Accept a point in time in ISO 8601, with its offset from UTC."""
    try:
        is_time = isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        is_time = False
    if not is_time:
        raise _wrong(value, where, "a time such as 2025-01-31T12:00:00.000000+00:00")


def whole(low: int = 0, high: int = 2**63 - 1) -> Check:
    """Accept whole numbers in [low, high]."""

    def check(value: JsonValue, where: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _wrong(value, where, f"a whole number from {low} to {high}")

    return check


def number(low: float = -1e300, high: float = 1e300) -> Check:
    """Accept numbers in [low, high]."""

    def check(value: JsonValue, where: str) -> None:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high  # NaN is in no range
        ):
            raise _wrong(value, where, f"a number from {low:g} to {high:g}")

    return check


def one_of(*words: JsonValue) -> Check:
    """Accept the values given."""

    def check(value: JsonValue, where: str) -> None:
        # By type as well: True == 1.
        if not any(type(value) is type(word) and value == word for word in words):
            raise _wrong(value, where, " or ".join(map(repr, words)))

    return check


def optional(inner: Check) -> Check:
    """Accept null beside what `inner` accepts."""

    def check(value: JsonValue, where: str) -> None:
        if value is not None:
            inner(value, where)

    return check


def list_of(inner: Check, *, length: int | None = None) -> Check:
    """Accept lists, of a length if one is given, whose items `inner` accepts."""

    def check(value: JsonValue, where: str) -> None:
        if not isinstance(value, list) or length not in (None, len(value)):
            raise _wrong(value, where, "a list" if length is None else f"a list of {length}")
        for place, item in enumerate(value):
            inner(item, f"{where}[{place}]")

    return check


def mapping_of(inner: Check) -> Check:
    """Accept objects whose fields, of any names, `inner` accepts."""

    def check(value: JsonValue, where: str) -> None:
        mapping(value, where)
        assert isinstance(value, dict)
        for name, item in value.items():
            inner(item, f"{where}.{printable(name)}")

    return check


def fields(
    required: Mapping[str, Check] = _NO_CHECKS, allowed: Mapping[str, Check] = _NO_CHECKS
) -> Check:
    """Accept objects with these fields; other fields may be there, and are not looked at.

    Args:
        required: Checks by name; each field has to be there.
        allowed: Checks by name of fields that may be missing.
    """

    def check(value: JsonValue, where: str) -> None:
        mapping(value, where)
        assert isinstance(value, dict)
        prefix = f"{where}." if where else ""
        for name in required:
            if name not in value:
                raise ValueError(f"it has no field {prefix + name!r}")
        for name, inner in {**required, **allowed}.items():
            if name in value:
                inner(value[name], prefix + name)

    return check


def _wrong(value: JsonValue, where: str, rule: str) -> ValueError:
    return ValueError(f"{where or 'it'} is {printable(reprlib.repr(value))}; it must be {rule}")
