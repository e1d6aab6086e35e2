"""How messages list names."""

from collections.abc import Sequence

from autoseg.foreign_text import printable

MAX_LISTED = 6
MAX_LENGTH = 100


def listed(names: Sequence[str]) -> str:
    """Write the first names of a list, which may be foreign, and count the rest."""
    shown = [printable(name[:MAX_LENGTH]) for name in names[:MAX_LISTED]]
    rest = len(names) - MAX_LISTED
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")
