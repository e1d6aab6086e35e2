"""The separable Gaussian against the double sum over all pairs of pixels."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from autoseg.crf.gaussian import TRUNCATION, GaussianFilter


def full_sum(height: int, width: int, std: float) -> Tensor:
    """K_ij over all pairs of pixels, (P, P), by plain loops."""
    pixels = [(row, column) for row in range(height) for column in range(width)]
    kernel = [
        [math.exp(-((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2) / (2 * std**2)) for q in pixels]
        for p in pixels
    ]
    return torch.from_numpy(np.array(kernel))


def gaussian_filter(height: int, width: int, std: float, truncation: float) -> GaussianFilter:
    return GaussianFilter(
        height,
        width,
        std=std,
        truncation=truncation,
        dtype=torch.float64,
        device=torch.device("cpu"),
    )


@pytest.mark.parametrize(
    ("height", "width", "std"), [(4, 7, 0.3), (6, 5, 2.0), (1, 8, 1.0), (7, 1, 30.0)]
)
def test_equals_the_sum_over_all_pairs(height, width, std):
    values = torch.rand(height * width, 3, dtype=torch.float64)

    filtered = gaussian_filter(height, width, std, math.inf).product(values)

    # The same numbers are added in another order.
    torch.testing.assert_close(filtered, full_sum(height, width, std) @ values, rtol=1e-13, atol=0)


@pytest.mark.parametrize("std", [0.6, 1.0, 2.3])
def test_truncation_leaves_out_no_more_than_the_tail(std):
    height, width = 14, 25
    values = torch.rand(height * width, 2, dtype=torch.float64)
    exact = full_sum(height, width, std) @ values

    filtered = gaussian_filter(height, width, std, TRUNCATION).product(values)

    # Of the whole mass, 6e-7 lies beyond 5 deviations along either axis; at a corner only a
    # quarter of the mass is there, so that the share is at most 5e-6 with values in [0, 1].
    torch.testing.assert_close(filtered, exact, rtol=5e-6, atol=0)


def test_truncation_cuts_the_kernel_off():
    impulse = torch.zeros(21, 1, dtype=torch.float64)
    impulse[10] = 1

    filtered = gaussian_filter(1, 21, 1.0, 3.0).product(impulse)[:, 0]

    expected = [math.exp(-((i - 10) ** 2) / 2) if abs(i - 10) <= 3 else 0.0 for i in range(21)]
    torch.testing.assert_close(filtered, torch.tensor(expected, dtype=torch.float64))


def test_adjoint():
    filter_ = gaussian_filter(4, 6, 1.3, 2.0)
    x, y = torch.rand(2, 24, 3, dtype=torch.float64)

    torch.testing.assert_close(
        (filter_.product(x) * y).sum(), (x * filter_.adjoint_product(y)).sum()
    )
