"""What one line says of a loop's progress, in as many columns as there are."""

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from autoseg.foreign_text import printable

_SHORT_DESCRIPTION = 8  # columns that the description keeps while anything of use can go
_BAR = 10, 30  # columns of the bar, at least and at most


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgressState:
    """How far a loop is."""

    description: str
    """What it does, one or two words."""
    unit: str
    """What is counted, singular."""
    num_done: int
    """Steps done, by this process and those before it."""
    num_here: int
    """Steps done by this process."""
    total: int
    """Steps when all is done."""
    elapsed_s: float
    """Since this process began."""
    phase: str = ""
    """What it does between two steps; empty while it makes steps."""
    shown: Mapping[str, float | int | str] = field(default_factory=dict)
    """Values by name, the most important first."""


def plain_line(state: ProgressState) -> str:
    """Say everything, for a log file."""
    count = f"{state.num_done}/{state.total} {state.unit}s"
    parts = [f"{printable(state.description)}: {count}"]
    parts += [part for part in (printable(state.phase), _rate(state)) if part]
    parts.append(f"{duration(state.elapsed_s)} elapsed")
    parts += [part for part in (_left(state), *_values(state)) if part]
    return ", ".join(parts)


def terminal_line(state: ProgressState, width: int) -> str:
    """Say as much as a terminal's line holds: what matters least goes first.

    Percent and count stay longest, then what is done between two steps and the time left, then the
    rate, the loss and the other values in their order. The description is cut before the time left
    goes, and whole before the rate comes. A bar takes the room that nothing else needs.

    Args:
        state: How far the loop is.
        width: Columns of the terminal. One stays free: in the last one some terminals wrap.

    Returns:
        Text of less than `width` columns; empty if there is no room for the percent.
    """
    room = width - 1
    percent = f"{_percent(state):3d}%"
    # As they stand in the line, each with its rank.
    parts = [
        (0, f"{state.num_done}/{state.total}"),
        (1, printable(state.phase)),
        (3, _rate(state)),
        (2, _left(state)),
        *enumerate(_values(state), start=4),
    ]
    for num_kept in range(len(parts), -1, -1):
        kept = ", ".join(text for rank, text in parts if rank < num_kept and text)
        tail = f"{percent} {kept}".rstrip()
        free = room - columns(tail) - len(": ")
        if free >= _room_for_description(state, is_whole=num_kept > 3):
            return _with_description(state, tail, free)
    return percent if len(percent) <= room else ""


def columns(text: str) -> int:
    """Count the columns of a text on a terminal: East Asian letters are two wide."""
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
        for letter in text
    )


def duration(seconds: float) -> str:
    """Write a time as minutes and seconds, with hours where there are any: 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def _room_for_description(state: ProgressState, *, is_whole: bool) -> int:
    whole = columns(printable(state.description))
    return whole if is_whole else min(whole, _SHORT_DESCRIPTION)


def _with_description(state: ProgressState, tail: str, free: int) -> str:
    """Put the description, cut to what is free, before the rest, and a bar between them."""
    description = _cut(printable(state.description), free)
    percent, _, rest = tail.partition("% ")
    free -= columns(description) + len("|| ")
    if free < _BAR[0]:
        return f"{description}: {tail}"
    length = min(free, _BAR[1])
    done = "#" * (length * _percent(state) // 100)
    return f"{description}: {percent}%|{done:<{length}}| {rest}"


def _cut(text: str, num_columns: int) -> str:
    if columns(text) <= num_columns:
        return text
    while text and columns(text) + len("..") > num_columns:
        text = text[:-1]
    return f"{text}.."


def _percent(state: ProgressState) -> int:
    # Down: 100 is for when all is done.
    return 100 * state.num_done // state.total if state.total else 100


def _rate(state: ProgressState) -> str:
    # A loop that counts seconds makes one a second.
    if state.num_here <= 0 or state.elapsed_s <= 0 or state.unit == "second":
        return ""
    rate = state.num_here / state.elapsed_s
    # A slow loop reads better as seconds a step.
    return f"{rate:.2f} {state.unit}s/s" if rate >= 1 else f"{1 / rate:.2f} s/{state.unit}"


def _left(state: ProgressState) -> str:
    num_left = max(state.total - state.num_done, 0)
    if state.unit == "second":
        return f"{duration(num_left)} left"
    # Behind the last step the phase alone takes time, and nobody knows how much.
    if state.num_here <= 0 or (state.phase and num_left == 0):
        return ""
    left_s = state.elapsed_s / state.num_here * num_left
    return f"{duration(left_s)} left"


def _values(state: ProgressState) -> list[str]:
    return [printable(f"{name}={_value(value)}") for name, value in state.shown.items()]


def _value(value: float | int | str) -> str:
    if not isinstance(value, float):
        return str(value)
    return "undefined" if math.isnan(value) else f"{value:.4g}"
