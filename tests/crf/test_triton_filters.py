"""The Triton filters, each alone, against plain operators in float64 and double loops.

Where there is no CUDA device, triton's interpreter runs the kernels.
"""

import importlib.util
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from autoseg.crf import BilateralKernel, memory
from autoseg.crf.filters import build_filter
from autoseg.crf.permutohedral import CLOSED_SCALE
from autoseg.errors import UsageError
from tests.crf.reference import kernel_by_loops, scene

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)

# Of a filter's product, relative to its largest value: likewise, and the exponents' rounding.
PRODUCT_TOLERANCE = 2e-6


def products(image: Tensor, values: Tensor, options: dict[str, Any]) -> tuple[int, Tensor, Tensor]:
    from autoseg.crf.triton_kernels import TritonPermutohedralFilter

    lattice = TritonPermutohedralFilter(image, **options)
    return lattice.num_points, lattice.product(values), lattice.adjoint_product(values)


def refusal(image: Tensor, values: Tensor, closed: bool, limit: int) -> tuple[int, str]:
    """Build and apply a lattice with so many bytes left; return what is said, in bytes."""
    from autoseg.crf.triton_kernels import TritonPermutohedralFilter

    options = {"xy_std": 4.1, "rgb_std": 41.3, "closed": closed}
    num_points = TritonPermutohedralFilter(image, **options).num_points
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "_NEGLIGIBLE", 0)
        patch.setattr(memory, "_GIB", 1)
        patch.setattr(memory, "available_bytes", lambda device: limit)
        try:
            TritonPermutohedralFilter(image, **options).product(values)
        except UsageError as error:
            return num_points, str(error)
    return num_points, ""


def test_a_lattice_that_cannot_fit_is_refused(on_device):
    image = scene(2, (7, 9))[1][0]
    values = torch.rand(7 * 9, 40, generator=torch.Generator().manual_seed(2))
    num_points, said = on_device(refusal, image, values, False, 0)
    assert f"at least {12 * num_points * 16}.00 GiB" in said  # of 12 neighbours, key and place
    # Closed, the features lie further apart before neighbours are added.
    kernel = BilateralKernel(weight=0.0, xy_std=4.1 / CLOSED_SCALE, rgb_std=41.3 / CLOSED_SCALE)
    apart: Any = build_filter(
        kernel, image, mode="fast", dtype=torch.float64, implementation="torch"
    )
    _, said = on_device(refusal, image, values, True, 0)
    assert f"at least {8 * (3 * 12 + 2) * apart.num_points}.00 GiB" in said
    tables = 2 * num_points * 40 * 4
    _, said = on_device(refusal, image, values, False, tables - 1)
    assert f"at least {tables}.00 GiB and" in said
    assert on_device(refusal, image, values, False, tables) == (num_points, "")


@pytest.mark.parametrize(
    ("size", "closed", "stds", "num_channels"),
    [
        ((7, 9), False, (4.1, 41.3), 5),
        ((4, 5), True, (4.1, 41.3), 3),
        ((6, 7), False, (0.7, 3.3), 1),  # a simplex for every pixel
        pytest.param(  # a thousand pixels a point: pieces of pieces; 4 s
            (34, 33), False, (900.0, 900.0), 1, marks=pytest.mark.nightly
        ),
    ],
)
def test_the_lattice_alone_and_its_adjoint(on_device, size, closed, stds, num_channels):
    image = scene(2, size)[1][0]
    xy_std, rgb_std = stds
    kernel = BilateralKernel(weight=0.0, xy_std=xy_std, rgb_std=rgb_std)
    values = torch.rand(math.prod(size), num_channels, generator=torch.Generator().manual_seed(2))
    mode = "accurate" if closed else "fast"
    expected: Any = build_filter(
        kernel, image, mode=mode, dtype=torch.float64, implementation="torch"
    )

    options = {"xy_std": xy_std, "rgb_std": rgb_std, "closed": closed}
    num_points, product, adjoint = on_device(products, image, values, options)

    assert num_points == expected.num_points
    for result, wanted in (
        (product, expected.product(values.double())),
        (adjoint, expected.adjoint_product(values.double())),
    ):
        assert (result - wanted).abs().max() < PRODUCT_TOLERANCE * wanted.abs().max()


def brute_force(image: Tensor, values: Tensor, xy_std: float, rgb_std: float) -> Tensor:
    from autoseg.crf.triton_kernels import TritonBruteForceFilter

    return TritonBruteForceFilter(image, xy_std=xy_std, rgb_std=rgb_std).product(values)


@pytest.mark.parametrize(
    ("stds", "num_channels", "scale"),
    [
        ((4.1, 41.3), 3, 1.0),
        ((80.0, 13.0), 1, 0.613),  # colours that are not whole
        ((2.0, 4.0), 17, 1.0),  # tiles of pairs that are left out
        ((1e-6, 1e-6), 2, 1.0),  # every pixel for itself
    ],
)
def test_brute_force_is_the_double_loop(on_device, stds, num_channels, scale):
    image = scale * scene(4, (12, 13))[1][0].double()
    values = torch.rand(156, num_channels, generator=torch.Generator().manual_seed(2))

    result = on_device(brute_force, image, values, *stds)

    expected = kernel_by_loops(image, *stds) @ values.double()
    # The device multiplies in three TF32 parts, exact to 2^-21.
    assert (result - expected).abs().max() < PRODUCT_TOLERANCE * expected.max()


def test_tiles_between_distant_groups_are_left_out_and_no_others(on_device):
    # Three bands of 64 pixels, a group each: the first two are 2 deviations apart, the third more
    # than 8 from both, where exp(-30) is reached.
    image = torch.zeros(3, 12, 16)
    for band, colour in enumerate((20.0, 60.0, 240.0)):
        image[0, 4 * band : 4 * band + 4] = colour
    values = torch.rand(192, 3, generator=torch.Generator().manual_seed(2))
    expected = kernel_by_loops(image, 9.0, 20.0) @ values.double()
    values[128:] = torch.nan

    for given in (image, image.to(torch.uint8)):
        result = on_device(brute_force, given, values, 9.0, 20.0)

        assert (result[:128] - expected[:128]).abs().max() < PRODUCT_TOLERANCE * expected.max()
        assert result[128:].isnan().all()


def distances(points: Tensor) -> Tensor:
    from autoseg.crf.triton_kernels.attention import _distance_factors

    left, right = (table.double() for table in _distance_factors(points))
    return left @ right.t()


@pytest.mark.parametrize(("lowest", "highest", "num_dims"), [(-1024, 1024, 2), (0, 255, 3)])
def test_distances_of_whole_numbers_are_exact(on_device, lowest, highest, num_dims):
    generator = torch.Generator().manual_seed(3)
    points = torch.randint(lowest, highest + 1, (200, num_dims), generator=generator)
    points[:2] = torch.tensor([[lowest], [highest]])

    result = on_device(distances, points.float())

    assert torch.equal(result, (points[:, None] - points).square().sum(dim=2).double())


def error_of(image: Tensor, xy_std: float, rgb_std: float) -> str:
    from autoseg.crf.triton_kernels import TritonPermutohedralFilter

    with pytest.raises(NotImplementedError) as caught:
        TritonPermutohedralFilter(image, xy_std=xy_std, rgb_std=rgb_std, closed=False)
    return str(caught.value)


def test_what_there_is_no_kernel_for_is_said(on_device):
    message = on_device(error_of, scene(3, (5, 6))[1][0], 1e-5, 1e-5)
    assert "cells, more than 2**63: the standard deviations are too small" in message
    message = on_device(error_of, torch.zeros(1, 1, 1).expand(3, 20000, 20000), 1.0, 1.0)
    assert message == "an image of (20000, 20000) pixels is too large for the fused kernels."
