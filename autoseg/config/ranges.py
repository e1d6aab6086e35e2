"""Which numbers a setting takes: written once, in the field's type, for help and checks alike."""

import math
from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """An interval of numbers, in a field's type: `Annotated[float, Range(low=0, high=1)]`."""

    low: int | float
    """Smallest value."""
    high: int | float | None = None
    """Largest value; None for no limit."""
    without_low: bool = False
    """True if `low` itself is left out."""
    without_high: bool = False
    """True if `high` itself is left out."""

    def __contains__(self, value: int | float) -> bool:
        """Tell whether a number lies in the interval; NaN and infinity never do."""
        is_high_enough = value > self.low if self.without_low else value >= self.low
        if self.high is None:
            return is_high_enough and value < math.inf
        return is_high_enough and (value < self.high if self.without_high else value <= self.high)

    def __str__(self) -> str:
        """Write the interval in words, to follow "a number" or "it must be"."""
        low = f"above {self.low:,}" if self.without_low else f"at least {self.low:,}"
        if self.high is None:
            return low
        if not (self.without_low or self.without_high):
            return f"from {self.low:,} to {self.high:,}"
        return f"{low} and {'below' if self.without_high else 'at most'} {self.high:,}"


Count = Annotated[int, Range(low=1)]
"""How many of something; none is too few."""

CountOrNone = Annotated[int, Range(low=0)]
"""How many of something; 0 has a meaning of its own, which the field states."""

Pixels = Annotated[int, Range(low=1, high=65_536)]
"""A length in pixels."""

Factor = Annotated[float, Range(low=0, high=64, without_low=True)]
"""A factor on sizes."""

Share = Annotated[float, Range(low=0, high=1)]
"""A part of a whole, or a probability."""

Rate = Annotated[float, Range(low=0, without_low=True)]
"""A learning rate."""

Weight = Annotated[float, Range(low=0)]
"""A weight in a sum, or a rate that may end at 0."""

Seed = Annotated[int, Range(low=0, high=2**63 - 1)]
"""A seed, as torch takes it."""
