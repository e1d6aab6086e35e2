"""Kernels: what they refuse, and the filters they become."""

import math

import pytest
import torch

from autoseg.crf import BilateralKernel, SpatialKernel
from autoseg.crf.filters import build_filter
from autoseg.errors import UsageError
from tests.crf.reference import kernel_by_loops

IMAGE = torch.randint(
    0, 256, (3, 7, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


@pytest.mark.parametrize(
    ("kernel", "rgb_std"),
    [
        (BilateralKernel(weight=1.0, xy_std=3.0, rgb_std=60.0), 60.0),
        (SpatialKernel(weight=1.0, xy_std=2.0), math.inf),
        (SpatialKernel(weight=1.0, xy_std=40.0), math.inf),
    ],
)
@pytest.mark.parametrize(("mode", "radius"), [("exact", math.inf), ("local", 5)])
def test_exact_and_local_are_the_matrix(kernel, rgb_std, mode, radius):
    values = torch.rand(63, 2, dtype=torch.float64)
    filter_ = build_filter(kernel, IMAGE, mode=mode, dtype=torch.float64, implementation="torch")

    expected = kernel_by_loops(IMAGE, kernel.xy_std, rgb_std, radius=radius) @ values

    torch.testing.assert_close(filter_(values), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: BilateralKernel(weight=1.0, xy_std=0.0, rgb_std=3.0),
            "BilateralKernel: xy_std is 0.0; it must be finite and above 0",
        ),
        (
            lambda: BilateralKernel(weight=1.0, xy_std=2.0, rgb_std=math.inf),
            "BilateralKernel: rgb_std is inf; it must be finite and above 0",
        ),
        (
            lambda: SpatialKernel(weight=[1.0, math.nan], xy_std=2.0),
            r"SpatialKernel: weight is \[1.0, nan\]; it must be finite and not negative",
        ),
    ],
)
def test_kernels_that_cannot_work_are_refused(build, message):
    with pytest.raises(UsageError, match=message):
        build()
