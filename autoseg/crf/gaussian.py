"""The Gaussian filter over pixel positions: separable, with nothing beyond the border."""

import math

import torch
from torch import Tensor

from autoseg.crf.linear import LinearFilter, SparseMatrix

TRUNCATION = 5.0
"""Standard deviations after which `fast` inference cuts the spatial kernel off.

The weight there is exp(-12.5) = 3.7e-6 of the centre's, and the mass left out 6e-7 of the whole:
the size of float32 rounding. The cost grows with it, but is a small part of an update.
"""


class GaussianFilter(LinearFilter):
    """K_ij = exp(-|p_i - p_j|^2 / (2 std^2)) over the pixels of an H x W image, i = j included.

    The kernel is a product of one over rows and one over columns, so two banded matrices of at
    most (H, 2H - 1) and (W, 2W - 1) entries apply the double sum. Pixels outside the image do not
    exist: there is no padding of the values.
    """

    def __init__(
        self,
        height: int,
        width: int,
        *,
        std: float,
        truncation: float = TRUNCATION,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """Tabulate the two kernels.

        Args:
            height: H, pixels.
            width: W, pixels.
            std: Standard deviation, pixels.
            truncation: Standard deviations along each axis after which the kernel is cut off;
                `math.inf` for the full sum.
            dtype: Floating point type of the values to come.
            device: Device of the values to come.
        """
        self._height, self._width = height, width
        self._over_rows, self._over_columns = (
            _gaussian_matrix(length, std=std, truncation=truncation, dtype=dtype, device=device)
            for length in (height, width)
        )

    def product(self, values: Tensor) -> Tensor:
        height, width, channels = self._height, self._width, values.shape[1]
        by_row = values.reshape(height, width * channels)
        by_row = self._over_rows @ by_row
        # (H, W, C) -> (W, H, C): the axis that is summed over has to come first.
        by_column = by_row.view(height, width, channels).transpose(0, 1)
        by_column = self._over_columns @ by_column.reshape(width, height * channels)
        return by_column.view(width, height, channels).transpose(0, 1).reshape(-1, channels)

    def adjoint_product(self, values: Tensor) -> Tensor:
        return self.product(values)  # the kernel is symmetric in i and j


def _gaussian_matrix(
    length: int, *, std: float, truncation: float, dtype: torch.dtype, device: torch.device
) -> SparseMatrix:
    """Return the kernel over `length` positions in a row, a banded matrix (length, length)."""
    radius = int(min(math.ceil(min(truncation * std, length)), length - 1))
    offsets = torch.arange(-radius, radius + 1, device=device)
    weights = torch.exp((offsets.to(dtype) / std).square() / -2)
    columns = torch.arange(length, device=device)[:, None] + offsets
    is_inside = (columns >= 0) & (columns < length)
    return SparseMatrix.from_rows(columns.clamp(0, length - 1), is_inside * weights)
