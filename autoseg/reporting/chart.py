"""Points that a page draws over two axes of the reader's choice."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoseg.reporting.figure import BLACK


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """A quantity that points have."""

    key: str
    """Name of the quantity among a point's values."""
    heading: str
    """What a reader sees beside it."""
    unit: str = ""
    """Unit of what is shown."""
    factor: float = 1.0
    """What is shown is the value times this."""
    is_high_good: bool = False
    """Whether more of it is better."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A row of a table as a point."""

    label: str
    """Name; points of one name are joined by a line."""
    remark: str = ""
    """What tells it from others of its name; such a point is hollow."""
    values: Mapping[str, float | None]
    """Value on each axis, by the axis's key; None where there is none."""
    colour: str
    """Colour of the name, "#RRGGBB"."""
    spreads: Mapping[str, float] = field(default_factory=dict)
    """How far a value may lie to either side, by the axis's key; drawn as a bar."""
    details: tuple[str, ...] = ()
    """Lines that are shown with its numbers."""
    unranked: tuple[str, ...] = ()
    """Keys of axes on which it is shown, but takes no part in the front."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """Points over axes."""

    axes: tuple[Axis, ...]
    """Axes, at least two; some point has a value on each."""
    x: str
    """Key of the axis across at first."""
    y: str
    """Key of the axis upwards at first."""
    points: tuple[Point, ...]
    """One for each row of the section's first table, in its order."""

    def data(self) -> dict[str, Any]:
        """Return what the page's script draws, as values that JSON holds."""
        return {
            "x": self.x,
            "y": self.y,
            "axes": [
                {
                    "key": axis.key,
                    "heading": axis.heading,
                    "unit": axis.unit,
                    "isHighGood": axis.is_high_good,
                }
                for axis in self.axes
            ],
            "points": [
                {
                    "label": point.label,
                    "remark": point.remark,
                    # Black vanishes on a dark page; the colour of the text never does.
                    "colour": "currentColor" if point.colour == BLACK else point.colour,
                    "unranked": point.unranked,
                    "values": {axis.key: _shown(point.values, axis) for axis in self.axes},
                    "spreads": {
                        axis.key: _shown(point.spreads, axis)
                        for axis in self.axes
                        if axis.key in point.spreads
                    },
                    "details": point.details,
                }
                for point in self.points
            ],
        }


def _shown(values: Mapping[str, float | None], axis: Axis) -> float | None:
    value = values[axis.key]
    return None if value is None else axis.factor * value
