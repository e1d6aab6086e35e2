"""The Gaussian kernels of the pairwise terms: values that know what they cannot be."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TypeGuard

from autoseg.errors import UsageError

MODES = ("fast", "accurate", "exact", "local")
"""How a `DenseCRF` can apply its kernels."""

LATTICE_MODES = ("fast", "accurate")
"""The modes that take the permutohedral lattice."""

Weight = float | Sequence[float]
"""The weight of a kernel: one for all classes, or one for each of the K classes."""

SMALLEST_STD = 1e-6
"""Below it, squares and numbers of lattice cells leave the range of their types."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BilateralKernel:
    """k(i, j) = exp(-|p_i - p_j|^2 / (2 xy_std^2) - |I_i - I_j|^2 / (2 rgb_std^2))."""

    weight: Weight
    """Factor of its messages, no unit, >= 0; one for all classes or one for each."""
    xy_std: float
    """Standard deviation over positions, pixels."""
    rgb_std: float
    """Standard deviation over colours, in units of 0 to 255."""

    def __post_init__(self) -> None:
        check_std("BilateralKernel: xy_std", self.xy_std)
        check_std("BilateralKernel: rgb_std", self.rgb_std)
        object.__setattr__(self, "weight", plain_weight("BilateralKernel: weight", self.weight))


@dataclass(frozen=True, kw_only=True, slots=True)
class SpatialKernel:
    """k(i, j) = exp(-|p_i - p_j|^2 / (2 xy_std^2))."""

    weight: Weight
    """Factor of its messages, no unit, >= 0; one for all classes or one for each."""
    xy_std: float
    """Standard deviation over positions, pixels."""

    def __post_init__(self) -> None:
        check_std("SpatialKernel: xy_std", self.xy_std)
        object.__setattr__(self, "weight", plain_weight("SpatialKernel: weight", self.weight))


Kernel = BilateralKernel | SpatialKernel


def check_std(name: str, std: float) -> None:
    """Refuse a standard deviation that is no positive, finite number.

    Raises:
        UsageError: If so; the message starts with `name`.
    """
    if not is_number(std) or not 0 < std < math.inf:
        raise UsageError(f"{name} is {std}; it must be finite and above 0.")
    if std < SMALLEST_STD:
        raise UsageError(
            f"{name} is {std}; below {SMALLEST_STD} a pixel has no neighbours: to turn the term "
            "off, set its weight to 0."
        )


def plain_weight(name: str, weight: Weight) -> float | tuple[float, ...]:
    """Return a weight as a plain value: a float, or a tuple of one for each class.

    Raises:
        UsageError: If one is negative or not finite, or there is none; the message starts with
            `name`.
    """
    values = tuple(weight) if isinstance(weight, Sequence) else (weight,)
    if not values or not all(is_number(value) and 0 <= value < math.inf for value in values):
        raise UsageError(
            f"{name} is {weight}; it must be finite and not negative (0 turns the term off), one "
            "number for all classes or a sequence of one for each class."
        )
    plain = tuple(float(value) for value in values)
    return plain if isinstance(weight, Sequence) else plain[0]


def is_number(value: object) -> TypeGuard[float]:
    """Say whether a value, of a file perhaps, is a real number."""
    return isinstance(value, Real) and not isinstance(value, bool)
