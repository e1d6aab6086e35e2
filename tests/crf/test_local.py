"""The windowed bilateral filter against plain loops."""

import pytest
import torch

from autoseg.crf.local import LocalBilateralFilter
from tests.crf.reference import kernel_by_loops


@pytest.mark.parametrize("radius", [0, 1, 2, 9])
@pytest.mark.parametrize("size", [(5, 7), (1, 6), (6, 1), (2, 3)])
def test_equals_plain_loops(size, radius):
    generator = torch.Generator().manual_seed(radius)
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)
    values = torch.rand(size[0] * size[1], 3, dtype=torch.float64, generator=generator)
    filter_ = LocalBilateralFilter(
        image, xy_std=1.7, rgb_std=90.0, radius=radius, dtype=torch.float64
    )

    expected = kernel_by_loops(image, 1.7, 90.0, radius=radius) @ values

    torch.testing.assert_close(filter_.product(values), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(filter_.adjoint_product(values), expected, rtol=1e-12, atol=0)


def test_the_values_are_left_alone():
    image = torch.zeros(3, 4, 5, dtype=torch.uint8)
    values = torch.rand(20, 2)
    before = values.clone()

    LocalBilateralFilter(image, xy_std=2.0, rgb_std=3.0, radius=2, dtype=torch.float32).product(
        values
    )

    assert torch.equal(values, before)
