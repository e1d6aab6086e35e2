"""Times as a user writes them: 90s, 10m, 1.5h."""

import re

from autoseg.errors import UsageError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])", re.ASCII)


def seconds_of(duration: str, *, name: str) -> float:
    """Read a time.

    Args:
        duration: A number and its unit: s, m, h or d.
        name: The setting, for the message.

    Raises:
        UsageError: If it is no such time, or 0.
    """
    match = _DURATION.fullmatch(duration)
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if seconds <= 0:
        raise UsageError(
            f"{name} = {duration[:40]!r}: it must be a time above 0, a number with s, m, h or d "
            "behind it, such as 90s, 10m or 1.5h."
        )
    return seconds
