"""Where a time goes, and how it varies, as a bar in a row of a table."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 260.0, 22.0
"""Size of a bar's drawing in its own units."""
_STACK = 13.0  # height of the parts; below them lies the spread
_MIDDLE = 18.0  # height at which the spread lies
_MAX_PARTS = 4  # colours that the style has


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A row's parts, and the spread of their whole."""

    parts: tuple[float, ...]
    """One for each name; 0 where the row has none."""
    spread: tuple[float, ...] = ()
    """Quantiles of the whole, ascending, an odd number: the middle one is the median, those beside
    it bound the box, the outer ones the line; empty where they are not known."""

    @property
    def reach(self) -> float:
        """How far it goes."""
        return max(sum(self.parts), *self.spread, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rectangle:
    """A rectangle of a drawing."""

    kind: str
    """Name of its class in the style."""
    x: float
    """Left side."""
    y: float
    """Upper side."""
    width: float
    """Horizontal size."""
    height: float
    """Vertical size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bars:
    """A bar for each row of a table, on one scale from 0."""

    names: tuple[str, ...]
    """Names of the parts, at most four."""
    unit: str
    """Unit of all values."""
    bars: tuple[Bar, ...]
    """One a row."""

    def __post_init__(self) -> None:
        assert len(self.names) <= _MAX_PARTS
        assert all(len(bar.parts) == len(self.names) for bar in self.bars)

    @property
    def reach(self) -> float:
        """What the whole width stands for."""
        return max((bar.reach for bar in self.bars), default=0.0) or 1.0

    @property
    def drawings(self) -> list[tuple[str, list[Rectangle]]]:
        """What each bar says in words, and the rectangles that it is made of."""
        return [(self._words(bar), [*self._parts(bar), *self._spread(bar)]) for bar in self.bars]

    def _words(self, bar: Bar) -> str:
        texts = [
            f"{name} {part:.4g} {self.unit}"
            for name, part in zip(self.names, bar.parts, strict=True)
            if part
        ]
        if bar.spread:
            texts.append(f"the whole {bar.spread[0]:.4g} to {bar.spread[-1]:.4g} {self.unit}")
        return ", ".join(texts)

    def _parts(self, bar: Bar) -> list[Rectangle]:
        drawn, begin = [], 0.0
        for number, part in enumerate(bar.parts):
            if part:
                drawn.append(self._rectangle(f"part-{number}", begin, begin + part, 0.0, _STACK))
            begin += part
        return drawn

    def _spread(self, bar: Bar) -> list[Rectangle]:
        if not bar.spread:
            return []
        middle = len(bar.spread) // 2
        low, median, high = bar.spread[middle - 1 : middle + 2]
        return [
            self._rectangle("range", bar.spread[0], bar.spread[-1], _MIDDLE - 0.5, 1.0),
            self._rectangle("box", low, high, _MIDDLE - 2.5, 5.0),
            self._rectangle("median", median, median, _MIDDLE - 4.0, 8.0),
        ]

    def _rectangle(self, kind: str, begin: float, end: float, y: float, height: float) -> Rectangle:
        scale = WIDTH / self.reach
        # A value that is there is seen, however small.
        width = max(scale * (end - begin), 1.0)
        return Rectangle(
            kind=kind, x=round(scale * begin, 2), y=y, width=round(width, 2), height=height
        )


def bars_of(names: Sequence[str], unit: str, rows: Sequence[Bar]) -> Bars | None:
    """Draw a bar for each row; None where no row has anything to draw."""
    if not any(bar.reach for bar in rows):
        return None
    return Bars(names=tuple(names), unit=unit, bars=tuple(rows))
