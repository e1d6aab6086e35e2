"""Errors whose message tells the user what to do; a leaf that every folder may import."""

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(ValueError):
    """A request that cannot work as it was put; commands end with exit code 2."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Build the error for a name that is not in a table.

    Args:
        kind: What the name was taken for, for example "network".
        name: What the user wrote.
        known: The names that exist.

    Returns:
        The error, to be raised by the caller; it names the nearest known name where one is near.
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    known_text = f"Known: {', '.join(names)}." if names else "There is none."
    return UsageError(f"unknown {kind} {name!r}{hint} {known_text}")
