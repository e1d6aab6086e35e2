"""The brute-force bilateral filter against plain loops."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from autoseg.crf import exact
from autoseg.crf.exact import BruteForceBilateralFilter


def random_image(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(height * width)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


def kernel_by_loops(image: Tensor, xy_std: float, rgb_std: float) -> Tensor:
    pixels = [
        (row, column, *(float(c) for c in image[:, row, column]))
        for row in range(image.shape[1])
        for column in range(image.shape[2])
    ]
    kernel = np.zeros((len(pixels), len(pixels)))
    for i, p in enumerate(pixels):
        for j, q in enumerate(pixels):
            distance = sum((p[k] - q[k]) ** 2 for k in (0, 1)) / (2 * xy_std**2)
            distance += sum((p[k] - q[k]) ** 2 for k in (2, 3, 4)) / (2 * rgb_std**2)
            kernel[i, j] = math.exp(-distance)
    return torch.from_numpy(kernel)


@pytest.mark.parametrize(("xy_std", "rgb_std"), [(2.0, 60.0), (40.0, 100.0), (0.7, 250.0)])
def test_equals_plain_loops(xy_std, rgb_std):
    image = random_image(4, 7)
    values = torch.rand(28, 3, dtype=torch.float64)
    filter_ = BruteForceBilateralFilter(image, xy_std=xy_std, rgb_std=rgb_std, dtype=torch.float64)

    expected = kernel_by_loops(image, xy_std, rgb_std) @ values

    torch.testing.assert_close(filter_.product(values), expected, rtol=1e-13, atol=0)
    torch.testing.assert_close(filter_.adjoint_product(values), expected, rtol=1e-13, atol=0)


def test_float32_keeps_its_digits_far_from_the_origin():
    # Between neighbours at column 2000 the distance is 1; expanding the square of coordinates
    # that were divided by the deviation first would leave errors of about 0.5 in it.
    image = torch.zeros(3, 1, 2001, dtype=torch.uint8)
    values = torch.zeros(2001, 1)
    values[2000] = 1
    filter_ = BruteForceBilateralFilter(image, xy_std=0.7, rgb_std=3.0, dtype=torch.float32)

    filtered = filter_.product(values)[-3:, 0].tolist()

    expected = [math.exp(-(distance**2) / (2 * 0.7**2)) for distance in (2, 1, 0)]
    assert filtered == pytest.approx(expected, rel=1e-5)  # float32 rounding of the exponent


def test_pairs_too_far_apart_to_matter_add_nothing():
    # exp(-195075 / 2) is zero in every type, and no pair is left out of the sum by mistake.
    image = torch.zeros(3, 2, 3, dtype=torch.uint8)
    image[:, 1] = 255
    values = torch.tensor([[1.0], [2.0], [4.0], [8.0], [16.0], [32.0]])
    filter_ = BruteForceBilateralFilter(image, xy_std=1e6, rgb_std=1.0, dtype=torch.float32)

    torch.testing.assert_close(
        filter_.product(values), torch.tensor([[7.0]] * 3 + [[56.0]] * 3), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("tile_side", [1, 7, 10, 19])
def test_tiles_change_nothing_and_bound_the_memory(tile_side, monkeypatch):
    image = random_image(5, 4)
    values = torch.rand(20, 2, dtype=torch.float64)
    filter_ = BruteForceBilateralFilter(image, xy_std=3.0, rgb_std=80.0, dtype=torch.float64)
    in_one_tile = filter_.product(values)
    tiles = []
    kernel = filter_._kernel
    monkeypatch.setattr(exact, "TILE_SIDE", tile_side)
    monkeypatch.setattr(filter_, "_kernel", lambda *tile: tiles.append(kernel(*tile)) or tiles[-1])

    torch.testing.assert_close(filter_.product(values), in_one_tile)

    assert max(tile.numel() for tile in tiles) == tile_side**2
    assert sum(tile.numel() for tile in tiles) == 20 * 20
