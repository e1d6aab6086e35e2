"""Where things may stand in a street: the widths of road, pavements and grass."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One side of the street, from the kerb outward; distances are from the camera's axis."""

    sign: int
    """-1 on the left, 1 on the right."""
    kerb: float
    """Where the road ends, metres."""
    strip: float
    """Where the pavement and the grass meet; the same as `kerb` or `wall` where one is missing."""
    wall: float
    """Where the houses stand, metres."""
    grass_inside: bool
    """Whether the grass lies between road and pavement, not between pavement and houses."""
    has_parking: bool
    """Whether cars may stand along the kerb."""
    sun: float
    """Factor on the light of what faces the street on this side."""

    @property
    def pavement(self) -> tuple[float, float]:
        """Where the pavement begins and ends, metres."""
        return (self.strip, self.wall) if self.grass_inside else (self.kerb, self.strip)


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Where everything in a street may stand."""

    sides: tuple[Side, Side]
    """Left and right."""
    middle: float
    """Across, metres, of the line between the two directions of traffic."""
    junction: tuple[float, float]
    """Metres ahead between which another road crosses; empty where both are equal."""


def random_layout(rng: np.random.Generator) -> Layout:
    """Draw the widths of road, pavements and grass, and where another road crosses."""
    lane = rng.uniform(2.5, 3.3)
    middle = lane * float(rng.choice((-0.5, 0.5, rng.uniform(-1.0, 1.0))))
    if rng.random() < 0.25:  # a camera on a pavement: its kerb lies on the other side of it
        middle = float(rng.choice((-1, 1))) * (1.05 * lane + rng.uniform(0.5, 2))
    lights = rng.permutation((rng.uniform(0.45, 0.8), rng.uniform(0.8, 1.2)))
    sides = []
    for sign, sun in zip((-1, 1), lights, strict=True):
        has_parking = bool(rng.random() < 0.45)
        kerb = 1.05 * lane + sign * middle + 2.1 * has_parking
        pavement = rng.uniform(1.5, 4.5)
        grass = rng.uniform(1.5, 6) if rng.random() < 0.75 else 0.0
        grass_inside = bool(rng.random() < 0.4)
        sides.append(
            Side(
                sign=sign,
                kerb=kerb,
                strip=kerb + (grass if grass_inside else pavement),
                wall=max(kerb + pavement + grass, 2.5),
                grass_inside=grass_inside,
                has_parking=has_parking,
                sun=float(sun),
            )
        )
    start = rng.uniform(8, 30)
    junction = (start, start + rng.uniform(6, 10)) if rng.random() < 0.3 else (start, start)
    return Layout(sides=(sides[0], sides[1]), middle=middle, junction=junction)
