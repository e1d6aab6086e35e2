"""Smooth random fields: clouds, leaves, stains."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]
"""Coordinates and colours; float32 wherever it has as many entries as the picture."""


def value_noise(
    rng: np.random.Generator, height: int, width: int, *, num_cells: float
) -> FloatArray:
    """Draw random values on a lattice and interpolate smoothly between them.

    Args:
        rng: Source of the values.
        height, width: Size of the field, in pixels.
        num_cells: Lattice cells along the height, 1 or more; cells are square.

    Returns:
        Field, float32, (height, width), in [-1, 1].
    """
    y, y_part = _lattice_positions(height, num_cells / height)
    x, x_part = _lattice_positions(width, num_cells / height)
    lattice = rng.random((y[-1] + 2, x[-1] + 2), dtype=np.float32) * 2 - 1
    rows = lattice[y] + (lattice[y + 1] - lattice[y]) * y_part[:, None]  # (height, lattice columns)
    left = rows[:, x]
    return left + (rows[:, x + 1] - left) * x_part


def fractal_noise(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    num_cells: float,
    num_octaves: int,
    gain: float = 0.6,
) -> FloatArray:
    """Add up value noise of doubling frequency and falling strength.

    Args:
        rng: Source of the values.
        height, width: Size of the field, in pixels.
        num_cells: Cells along the height in the coarsest octave.
        num_octaves: Number of fields that are added, 1 or more.
        gain: Strength of each octave relative to the one before.

    Returns:
        Field, float32, (height, width), in [-1, 1].
    """
    field = np.zeros((height, width), np.float32)
    strength, total = 1.0, 0.0
    for octave in range(num_octaves):
        field += strength * value_noise(rng, height, width, num_cells=num_cells * 2**octave)
        total += strength
        strength *= gain
    return field / np.float32(total)


def _lattice_positions(
    num_pixels: int, cells_per_pixel: float
) -> tuple[NDArray[np.intp], FloatArray]:
    """Lattice point below each pixel centre, and the smoothed way to the next one, in [0, 1]."""
    position = (np.arange(num_pixels) + 0.5) * cells_per_pixel
    below = position.astype(np.intp)
    part = (position - below).astype(np.float32)
    return below, part * part * (3 - 2 * part)  # no creases at the lattice points
