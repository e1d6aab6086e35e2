"""Times as a user writes them: 90s, 10m, 1.5h; a latency: 30ms."""

import re
from fractions import Fraction

from autoseg.errors import UsageError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_NANOSECONDS = {"us": 10**3, "ms": 10**6, "s": 10**9}
_LATENCY = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(us|ms|s)", re.ASCII)
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


def nanoseconds_of(latency: str, *, name: str) -> int:
    """Read a latency, exactly.

    Args:
        latency: A number and its unit: us, ms or s.
        name: The setting, for the message.

    Raises:
        UsageError: If it is no such time, or not a whole number of nanoseconds above 0.
    """
    match = _LATENCY.fullmatch(latency)
    nanoseconds = Fraction(match[1]) * _NANOSECONDS[match[2]] if match else Fraction(0)
    if nanoseconds <= 0 or nanoseconds.denominator != 1:
        raise UsageError(
            f"{name} = {latency[:40]!r}: it must be a time above 0, a number with us, ms or s "
            "behind it, such as 30ms or 0.5s."
        )
    return int(nanoseconds)


def short_latency(nanoseconds: int) -> str:
    """Write nanoseconds as `nanoseconds_of` reads them, rounded up to a microsecond: 30.125ms."""
    milliseconds, microseconds = divmod(-(-nanoseconds // 1000), 1000)
    return f"{milliseconds}.{microseconds:03}ms"
