"""The bilateral filter by brute force: every pair of pixels, a tile of pairs at a time."""

import itertools

import torch
from torch import Tensor

from autoseg.crf.linear import LinearFilter
from autoseg.crf.pixels import pixel_colours, pixel_positions

TILE_SIDE = 512
"""Pixels along each side of a tile of pairs: 1 MiB a buffer in float32, so that the three buffers
of a tile stay in a core's cache.
"""

GPU_TILE_SIDE = 8192
"""Pixels along each side of a tile on other devices: 256 MiB a buffer in float32, so that launches
cost next to nothing."""

LOWEST_EXPONENT = -60.0
"""Pairs further apart than this weigh exp(-60) = 9e-27.

Together they add less than 1e-20 to a sum that is at least 1 (the pixel itself), nothing even in
float64. Smaller weights would make subnormal products, at which processors are several times
slower, and most pairs of pixels are that far apart.
"""


class BruteForceBilateralFilter(LinearFilter):
    """K_ij = exp(-|p_i - p_j|^2 / (2 xy_std^2) - |I_i - I_j|^2 / (2 rgb_std^2)), i = j included.

    Time grows with the square of the number of pixels P, memory does not: the kernel is computed
    again in every product, the adjoint included, and nothing of it is kept for the gradient.
    """

    def __init__(self, image: Tensor, *, xy_std: float, rgb_std: float, dtype: torch.dtype) -> None:
        """Store positions and colours.

        Args:
            image: uint8 or floating point, (3, H, W), colours 0 to 255.
            xy_std: Standard deviation over positions, pixels.
            rgb_std: Standard deviation over colours, in their unit.
            dtype: Floating point type of the values to come.
        """
        self._positions = pixel_positions(image).to(dtype)
        self._colours = pixel_colours(image).to(dtype)
        self._has_whole_colours = not image.is_floating_point()
        self._xy_factor = -0.5 / xy_std / xy_std  # the square of a huge deviation overflows
        self._rgb_factor = -0.5 / rgb_std / rgb_std

    def product(self, values: Tensor) -> Tensor:
        filtered = torch.zeros_like(values)
        side = TILE_SIDE if values.device.type == "cpu" else GPU_TILE_SIDE
        tiles = [slice(i, i + side) for i in range(0, len(values), side)]
        for rows, columns in itertools.product(tiles, tiles):
            filtered[rows].addmm_(self._kernel(rows, columns), values[columns])
        return filtered

    def adjoint_product(self, values: Tensor) -> Tensor:
        return self.product(values)  # the kernel is symmetric in i and j

    def _kernel(self, rows: slice, columns: slice) -> Tensor:
        """Return a tile of K."""
        exponent = _squared_distances(self._positions[rows], self._positions[columns])
        exponent *= self._xy_factor
        distances = _squared_distances if self._has_whole_colours else _squared_differences
        colour_distances = distances(self._colours[rows], self._colours[columns])
        exponent.add_(colour_distances, alpha=self._rgb_factor)
        return exponent.clamp_(min=LOWEST_EXPONENT).exp_()


def _squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """Return |a - b|^2 for all pairs of (A, D) and (B, D) whole numbers, (A, B).

    The expanded square loses digits to cancellation, except where every term is a whole number
    that the type holds: below 2^24 in float32, that is for images of up to 2800 x 2800 pixels.
    Positions and colours are therefore scaled by their deviations only afterwards.
    """
    first_squares = first.square().sum(dim=1, keepdim=True)
    second_squares = second.square().sum(dim=1)
    return torch.addmm(second_squares, first, second.t(), alpha=-2).add_(first_squares)


def _squared_differences(first: Tensor, second: Tensor) -> Tensor:
    """Return the same for any numbers, without cancellation and several times slower."""
    squares = torch.zeros(len(first), len(second), dtype=first.dtype, device=first.device)
    for a, b in zip(first.t(), second.t(), strict=True):
        difference = a[:, None] - b
        squares.addcmul_(difference, difference)
    return squares
