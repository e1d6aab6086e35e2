"""Noise against interpolation by plain loops."""

import math

import numpy as np
import pytest

from autoseg.data.street.noise import fractal_noise, value_noise


def _by_loops(seed: int, height: int, width: int, num_cells: float) -> np.ndarray:
    """Interpolate the same lattice pixel by pixel, in float64."""
    ys = [(row + 0.5) * num_cells / height for row in range(height)]
    xs = [(column + 0.5) * num_cells / height for column in range(width)]
    shape = (math.floor(ys[-1]) + 2, math.floor(xs[-1]) + 2)
    lattice = np.random.default_rng(seed).random(shape, dtype=np.float32).astype(float) * 2 - 1
    field = np.empty((height, width))
    for row, y in enumerate(ys):
        for column, x in enumerate(xs):
            i, j = math.floor(y), math.floor(x)
            v, u = (3 * (y - i) ** 2 - 2 * (y - i) ** 3, 3 * (x - j) ** 2 - 2 * (x - j) ** 3)
            field[row, column] = (
                (1 - v) * (1 - u) * lattice[i, j]
                + (1 - v) * u * lattice[i, j + 1]
                + v * (1 - u) * lattice[i + 1, j]
                + v * u * lattice[i + 1, j + 1]
            )
    return field


@pytest.mark.parametrize(("height", "width", "num_cells"), [(8, 13, 3), (9, 5, 2.5), (6, 7, 6)])
def test_value_noise_is_smooth_interpolation(height: int, width: int, num_cells: float) -> None:
    field = value_noise(np.random.default_rng(5), height, width, num_cells=num_cells)
    assert field.dtype == np.float32
    # Values up to 1 through a dozen float32 roundings.
    np.testing.assert_allclose(field, _by_loops(5, height, width, num_cells), atol=2e-6)


def test_fractal_noise_is_the_weighted_mean_of_its_octaves() -> None:
    rng = np.random.default_rng(1)
    octaves = [value_noise(rng, 12, 10, num_cells=2 * 2**octave) for octave in range(3)]
    expected = (octaves[0] + 0.5 * octaves[1] + 0.25 * octaves[2]) / 1.75
    field = fractal_noise(np.random.default_rng(1), 12, 10, num_cells=2, num_octaves=3, gain=0.5)
    np.testing.assert_allclose(field, expected, atol=1e-6)  # float32 sums of values up to 1
    assert np.abs(field).max() <= 1
