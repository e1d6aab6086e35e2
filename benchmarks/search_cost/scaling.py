"""How the cost of a step grows with one size at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .setting import Row, Setting, Variant

BASE = {"num_layers": 6, "filter_multiplier": 4, "num_nodes": 5, "crop": 64, "batch_size": 2}
"""Sizes of the point that all curves share."""

GRID: dict[str, tuple[int, ...]] = {
    "num_layers": (4, 6, 9, 12),
    "filter_multiplier": (2, 4, 8, 12),
    "crop": (64, 96, 128, 192),
    "batch_size": (2, 4, 8),
}
"""Values of each factor; the others are those of `BASE`."""

FACTOR_NAMES = {
    "num_layers": "layers L",
    "filter_multiplier": "filters F",
    "crop": "crop (pixels)",
    "batch_size": "batch (images)",
}
"""Factors in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerLaw:
    """y = a * x^b, fitted to points of one factor."""

    variant: Variant
    """What was measured."""
    factor: str
    """Key of `GRID`."""
    quantity: str
    """Field of `Row`: "step_min_ms" or "memory_mib"."""
    coefficient: float
    """a, in the unit of the quantity."""
    exponent: float
    """b: 1 is proportional to the factor."""
    largest_error: float
    """Largest distance of a point from the law, as a share of the law."""
    num_points: int
    """Points behind the fit."""


def scaling_settings(base: Setting) -> list[Setting]:
    """Return every setting of the grid once, from the device and space of `base`."""
    sizes = [BASE] + [
        {**BASE, factor: value} for factor, values in GRID.items() for value in values
    ]
    unique = {tuple(point.items()): point for point in sizes}
    return [base.with_sizes(**point) for point in unique.values()]


def points(
    rows: Sequence[Row], variant: Variant, factor: str, quantity: str
) -> list[tuple[int, float]]:
    """Return (factor, quantity) of the rows where all other factors are those of `BASE`."""
    found = {
        getattr(row, factor): getattr(row, quantity)
        for row in rows
        if row.variant == variant
        and getattr(row, quantity) is not None
        and all(getattr(row, name) == BASE[name] for name in BASE if name != factor)
    }
    return sorted(found.items())


def fit_power_laws(rows: Sequence[Row]) -> Iterator[PowerLaw]:
    """Fit one law for each variant, factor and quantity that has at least two points."""
    variants: list[Variant] = list(dict.fromkeys(row.variant for row in rows))
    for variant in variants:
        for factor in GRID:
            for quantity in ("step_min_ms", "memory_mib"):
                found = points(rows, variant, factor, quantity)
                if len(found) >= 2:
                    yield _fit(variant, factor, quantity, found)


def _fit(
    variant: Variant, factor: str, quantity: str, found: Sequence[tuple[int, float]]
) -> PowerLaw:
    x, y = np.array(found, dtype=float).T
    exponent, intercept = np.polyfit(np.log(x), np.log(y), 1)
    law = np.exp(intercept) * x**exponent
    return PowerLaw(
        variant=variant,
        factor=factor,
        quantity=quantity,
        coefficient=float(np.exp(intercept)),
        exponent=float(exponent),
        largest_error=float(np.abs(y / law - 1).max()),
        num_points=len(found),
    )
