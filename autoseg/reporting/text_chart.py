"""Curves and paths as lines of text, for a terminal."""

import math
from collections.abc import Sequence

BLOCKS = " ▁▂▃▄▅▆▇█"
"""Filled to so many eighths."""
PLAIN = " ...:::##"
"""Stands for `BLOCKS` where a terminal has ASCII alone."""

_EIGHTHS = len(BLOCKS) - 1
_MAX_REPEATED = 6  # columns of one value


def text_chart(
    values: Sequence[float], *, width: int = 60, height: int = 5, has_blocks: bool = True
) -> list[str]:
    """Draw values as columns, the smallest one just above the ground.

    Args:
        values: In order; nan leaves a gap. More than `width` of them are averaged in groups.
        width: Columns of text, at most.
        height: Lines of text.
        has_blocks: Whether the terminal shows `BLOCKS`.

    Returns:
        The lines, the upper one first: the largest value stands beside it, the smallest one beside
        the last. No line if there is no value.
    """
    columns = _columns(values, width)
    known = [value for value in columns if not math.isnan(value)]
    if not known:
        return []
    low, high = min(known), max(known)
    levels = [_level(value, low, high, height) for value in columns]
    filled = BLOCKS if has_blocks else PLAIN
    repeated = max(1, min(_MAX_REPEATED, width // len(columns)))
    labels = {height - 1: f"{low:.4g}", 0: f"{high:.4g}"}  # of one line the largest
    margin = max(map(len, labels.values()))
    lines = []
    for row in range(height):
        below = _EIGHTHS * (height - 1 - row)
        marks = [filled[max(0, min(_EIGHTHS, level - below))] * repeated for level in levels]
        lines.append(f"{labels.get(row, ''):>{margin}} |{''.join(marks)}".rstrip())
    return lines


def text_path(path: Sequence[int], strides: Sequence[int], *, has_blocks: bool = True) -> list[str]:
    """Draw a path through the strides: a line a stride, a column a layer.

    Args:
        path: Stride of each layer.
        strides: All strides, ascending.
        has_blocks: Whether the terminal shows more than ASCII.
    """
    here, elsewhere = "●·" if has_blocks else "o."
    margin = len(str(max(strides)))
    return [
        f"{stride:>{margin}} | " + " ".join(here if at == stride else elsewhere for at in path)
        for stride in strides
    ]


def _columns(values: Sequence[float], width: int) -> list[float]:
    """Average values in as many groups as there are columns, each of those that follow another."""
    if len(values) <= width:
        return list(values)
    bounds = [round(i * len(values) / width) for i in range(width + 1)]
    return [_mean(values[bounds[i] : bounds[i + 1]]) for i in range(width)]


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _level(value: float, low: float, high: float, height: int) -> int:
    """Return how many eighths of a line a column is high, from 1; 0 for a gap."""
    if math.isnan(value):
        return 0
    share = (value - low) / (high - low) if high > low else 0.0
    return 1 + round(share * (_EIGHTHS * height - 1))
