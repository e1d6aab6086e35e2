"""The bilateral filter cut off at a small window, for comparison."""

import itertools

import torch
from torch import Tensor

from autoseg.crf.linear import LinearFilter

WINDOW_RADIUS = 5
"""Pixels to each side of the centre in `local` mode: ConvCRF's filter size of 11."""


class LocalBilateralFilter(LinearFilter):
    """K_ij = exp(-|p_i - p_j|^2 / (2 xy_std^2) - |I_i - I_j|^2 / (2 rgb_std^2)) inside a window.

    The window holds the pixels j at most `radius` rows and columns away from i, i = j included;
    for all others K_ij = 0. Time and memory: (2 radius + 1)^2 / 2 weights a pixel are stored.
    """

    def __init__(
        self, image: Tensor, *, xy_std: float, rgb_std: float, radius: int, dtype: torch.dtype
    ) -> None:
        """Tabulate the weights.

        Args:
            image: uint8 or floating point, (3, H, W), colours 0 to 255.
            xy_std: Standard deviation over positions, pixels.
            rgb_std: Standard deviation over colours, in their unit.
            radius: Rows and columns of the window to each side of its centre.
            dtype: Floating point type of the values to come.
        """
        colours = image.permute(1, 2, 0).to(dtype)  # (3, H, W) -> (H, W, 3)
        self._height, self._width = image.shape[1:]
        # K is symmetric: one of the offsets (dy, dx) and (-dy, -dx) is enough.
        self._weights: dict[tuple[int, int], Tensor] = {}
        for offset in itertools.product(range(radius + 1), range(-radius, radius + 1)):
            dy, dx = offset
            if offset <= (0, 0) or dy >= self._height or abs(dx) >= self._width:
                continue
            here, there = self._overlap(offset)
            xy_exponent = ((dy / xy_std) ** 2 + (dx / xy_std) ** 2) / -2
            difference = (colours[here] - colours[there]) / rgb_std
            rgb_exponent = difference.square().sum(dim=2, keepdim=True) / -2
            self._weights[offset] = torch.exp(xy_exponent + rgb_exponent)

    def product(self, values: Tensor) -> Tensor:
        grid = values.view(self._height, self._width, -1)
        filtered = grid.clone()  # i = j
        for offset, weights in self._weights.items():
            here, there = self._overlap(offset)
            filtered[here] += weights * grid[there]
            filtered[there] += weights * grid[here]
        return filtered.view_as(values)

    def adjoint_product(self, values: Tensor) -> Tensor:
        return self.product(values)  # the kernel is symmetric in i and j

    def _overlap(self, offset: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return the pixels i with a pixel j at i + offset inside the image, and those j."""
        dy, dx = offset
        height, width = self._height, self._width
        here = slice(max(0, -dy), height - max(0, dy)), slice(max(0, -dx), width - max(0, dx))
        there = slice(max(0, dy), height - max(0, -dy)), slice(max(0, dx), width - max(0, -dx))
        return here, there
