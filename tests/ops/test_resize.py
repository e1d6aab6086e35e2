"""Resizing against closed forms and one-dimensional interpolation."""

import numpy as np
import pytest
import torch

from autoseg.ops import resize
from tests.ops import oracles
from tests.ops.randomised import random_maps


def ramp(height, width):
    """(1, 1, H, W) whose value is 10 times the row plus the column."""
    rows = torch.arange(height, dtype=torch.float64)[:, None]
    return (10 * rows + torch.arange(width, dtype=torch.float64))[None, None]


@pytest.mark.parametrize("size", [(7, 9), (5, 5), (2, 3), (13, 4)])
def test_aligned_corners_map_a_ramp_to_a_ramp_between_the_same_corners(size):
    out = resize(ramp(4, 5), size, align_corners=True)[0, 0].numpy()
    expected = 10 * np.linspace(0, 3, size[0])[:, None] + np.linspace(0, 4, size[1])
    np.testing.assert_allclose(out, expected, atol=1e-13)


def test_aligned_borders_by_hand():
    # Twice as many pixels: centres at -1/4, 1/4, 3/4, 5/4 of the input; the first and the last lie
    # beyond the outermost centres and repeat them.
    line = torch.tensor([0.0, 8.0])[None, None, None]
    out = resize(line, (1, 4), align_corners=False)
    assert out.flatten().tolist() == [0.0, 2.0, 6.0, 8.0]
    # With corners on each other: 0, 1/3, 2/3, 1.
    out = resize(3 * line, (1, 4), align_corners=True)
    np.testing.assert_allclose(out.flatten(), [0.0, 8.0, 16.0, 24.0], rtol=1e-6)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [(11, 6), (3, 4), (14, 12), (4, 6), (1, 1), (7, 3)])
def test_equals_interpolation_along_each_axis(size, align_corners):
    maps = random_maps(2, 3, 7, 6)
    out = resize(maps, size, align_corners=align_corners)
    expected = oracles.interpolate(maps.numpy(), size, align_corners=align_corners)
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-13)


def test_halving_of_odd_maps_with_aligned_corners_takes_every_second_pixel():
    maps = random_maps(1, 2, 9, 13)
    out = resize(maps, (5, 7), align_corners=True)
    np.testing.assert_allclose(out.numpy(), maps[:, :, ::2, ::2].numpy(), atol=1e-13)


@pytest.mark.parametrize("size", [(4, 5), [4, 5], torch.Size([4, 5])])
def test_a_map_of_that_size_is_returned_itself(size):
    maps = ramp(4, 5)
    assert resize(maps, size, align_corners=False) is maps
    assert resize(maps, [5, 4], align_corners=False) is not maps


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_dtype_stays(dtype):
    assert resize(ramp(4, 5).to(dtype), (8, 3), align_corners=True).dtype == dtype
