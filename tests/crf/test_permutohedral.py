"""The lattice against a dictionary of lattice points, and against the Gaussian it approximates."""

import math
from collections import defaultdict

import numpy as np
import pytest
import torch
from torch import Tensor

from autoseg.crf.permutohedral import CLOSED_SCALE, PermutohedralFilter
from autoseg.errors import UsageError


def random_features(num_pixels: int, num_dims: int, extent: float) -> Tensor:
    """Uniform features; `extent` deviations wide."""
    generator = torch.Generator().manual_seed(num_pixels + num_dims)
    unit = torch.rand(num_pixels, num_dims, dtype=torch.float64, generator=generator)
    return (unit - 0.3) * extent


def plane_basis(num_dims: int) -> np.ndarray:
    """An orthonormal basis of the plane sum(x) = 0 that agrees with Adams et al., (d + 1, d)."""
    basis = np.zeros((num_dims + 1, num_dims))
    for axis in range(num_dims):
        basis[: axis + 1, axis] = 1
        basis[axis + 1, axis] = -(axis + 1)
        basis[:, axis] /= math.sqrt((axis + 1) * (axis + 2))
    return basis


def corners(point: np.ndarray) -> list[tuple[tuple[int, ...], float]]:
    """Lattice points around a point of the plane with barycentric weights, one by one.

    By definition instead of by sorting: among the points whose coordinates are all equal modulo
    d + 1, it takes those reached from the nearest one of remainder 0.
    """
    size = len(point)
    origin = size * np.rint(point / size).astype(int)
    while origin.sum() != 0:  # move the coordinate for which that costs least
        sign = 1 if origin.sum() > 0 else -1
        worst = max(range(size), key=lambda i: sign * (origin[i] - point[i]))
        origin[worst] -= sign * size
    descending = sorted(range(size), key=lambda i: origin[i] - point[i])
    found = []
    for remainder in range(size):
        corner = origin + remainder
        for i in descending[size - remainder :]:
            corner[i] -= size
        found.append(corner)
    # Barycentric coordinates are what reproduces the point: solve for them.
    system = np.vstack([np.array(found).T, np.ones(size)])
    weights = np.linalg.lstsq(system, np.append(point, 1.0), rcond=None)[0]
    return [(tuple(c.tolist()), w) for c, w in zip(found, weights, strict=True)]


def filter_by_dictionary(features: Tensor, values: Tensor, *, closed: bool = False) -> Tensor:
    """Splat, blur and slice with lattice points as dictionary keys."""
    num_dims = features.shape[1]
    size = num_dims + 1
    scale = size * math.sqrt(2 / 3)
    embedded = [corners(scale * (plane_basis(num_dims) @ f)) for f in features.numpy()]
    on_points: dict[tuple[int, ...], np.ndarray] = defaultdict(lambda: np.zeros(values.shape[1]))
    for pixel_corners, value in zip(embedded, values.numpy(), strict=True):
        for corner, weight in pixel_corners:
            on_points[corner] = on_points[corner] + weight * value
    steps = np.ones((size, size), dtype=int) - size * np.eye(size, dtype=int)
    if closed:
        for corner in list(on_points):
            for step in [*steps, *-steps]:
                on_points[tuple((np.array(corner) + step).tolist())] += 0
    for step in steps:
        blurred = {}
        for corner, value in on_points.items():
            ahead, behind = (tuple((np.array(corner) + s * step).tolist()) for s in (1, -1))
            neighbours = [on_points[n] for n in (ahead, behind) if n in on_points]
            blurred[corner] = value + sum(neighbours, np.zeros_like(value)) / 2
        on_points = blurred
    sliced = [sum(weight * on_points[corner] for corner, weight in c) for c in embedded]
    return torch.from_numpy(np.array(sliced))


@pytest.mark.parametrize(
    ("num_pixels", "num_dims", "extent"),
    [
        (40, 1, 9.0),
        (60, 2, 4.0),
        (50, 3, 2.0),
        (80, 5, 1.5),
        (60, 5, 20.0),
        # All in a cell or two: neighbours lie outside the range of the points themselves.
        (12, 2, 0.4),
        (12, 3, 0.4),
        (12, 5, 0.2),
    ],
)
@pytest.mark.parametrize("closed", [False, True])
def test_equals_a_dictionary_of_lattice_points(num_pixels, num_dims, extent, closed):
    features = random_features(num_pixels, num_dims, extent)
    values = torch.rand(num_pixels, 3, dtype=torch.float64)

    filtered = PermutohedralFilter(features, dtype=torch.float64, closed=closed).product(values)

    scaled = features * CLOSED_SCALE if closed else features
    expected = filter_by_dictionary(scaled, values, closed=closed)
    # Both are float64; the reference solves a linear system for the weights.
    torch.testing.assert_close(filtered, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("num_dims", "extent", "closed"), [(2, 5.0, False), (5, 2.0, False), (5, 2.0, True)]
)
def test_adjoint(num_dims, extent, closed):
    features = random_features(70, num_dims, extent)
    filter_ = PermutohedralFilter(features, dtype=torch.float64, closed=closed)
    x, y = torch.rand(2, 70, 3, dtype=torch.float64)
    product = filter_.product(x)

    torch.testing.assert_close((product * y).sum(), (x * filter_.adjoint_product(y)).sum())
    # The filter is not symmetric, or else this test could not tell A from its adjoint.
    assert (product - filter_.adjoint_product(x)).abs().max() > 1e-3


@pytest.mark.parametrize("num_dims", [2, 5])
def test_an_image_of_one_colour_is_blurred_as_by_a_gaussian(num_dims):
    # 41 x 41 pixels, 8 deviations wide; the other features are constant, as one colour is.
    side = torch.linspace(0, 8, 41, dtype=torch.float64)
    features = torch.zeros(41 * 41, num_dims, dtype=torch.float64)
    features[:, :2] = torch.cartesian_prod(side, side)
    # The response depends on where between lattice points an impulse lies: use 9 x 9 of them.
    centres = torch.cartesian_prod(torch.arange(16, 25), torch.arange(16, 25)) @ torch.tensor(
        [41, 1]
    )
    impulses = torch.eye(41 * 41, dtype=torch.float64)[:, centres]

    responses = PermutohedralFilter(features, dtype=torch.float64).product(impulses)

    squared_distances = (features[:, None] - features[centres]).square().sum(dim=2)
    gaussians = torch.exp(-squared_distances / 2)
    responses = responses / responses.sum(dim=0) * gaussians.sum(dim=0)
    # Shape: an interpolated binomial blur differs from the Gaussian of the same mass by 0.13 to
    # 0.19 of the peak.
    assert (responses - gaussians).abs().max() < 0.2
    # Width: the second moment of a Gaussian of deviation 1 in the plane is 2. The lattice's
    # is 2.00 on average in 2 dimensions and, with neighbours missing, 2.10 in 5.
    second_moment = (responses * squared_distances).sum() / responses.sum()
    assert second_moment.item() == pytest.approx(2, rel=0.06)


def test_equal_features_are_averaged_whatever_simplex_a_tie_falls_into():
    # At the origin every coordinate is a tie.
    features = torch.zeros(3, 5, dtype=torch.float64)
    values = torch.tensor([[1.0], [2.0], [6.0]], dtype=torch.float64)

    filter_ = PermutohedralFilter(features, dtype=torch.float64)

    row_sums = filter_.product(torch.ones_like(values))
    torch.testing.assert_close(filter_.product(values) / row_sums, torch.full_like(values, 3.0))


def test_the_number_of_points_is_that_of_the_corners_in_use():
    features = random_features(60, 5, 2.0)
    scale = 6 * math.sqrt(2 / 3)
    expected = {
        corner
        for feature in features.numpy()
        for corner, _ in corners(scale * (plane_basis(5) @ feature))
    }

    assert PermutohedralFilter(features, dtype=torch.float64).num_points == len(expected)


@pytest.mark.parametrize("num_dims", [1, 2, 5])
def test_one_round_of_neighbours_closes_the_lattice(num_dims):
    features = random_features(25, num_dims, 6.0)
    period = num_dims + 1
    scale = CLOSED_SCALE * period * math.sqrt(2 / 3)
    around = {
        corner
        for feature in features.numpy()
        for corner, _ in corners(scale * (plane_basis(num_dims) @ feature))
    }
    expected = set(around)
    for corner in around:
        for axis in range(period):
            step = [1 - period * (i == axis) for i in range(period)]
            for sign in (1, -1):
                expected.add(tuple(c + sign * s for c, s in zip(corner, step, strict=True)))

    filter_ = PermutohedralFilter(features, dtype=torch.float64, closed=True)

    assert filter_.num_points == len(expected)


def test_features_that_span_too_many_cells_are_refused():
    features = torch.tensor([[0.0] * 5, [1e5] * 5], dtype=torch.float64)

    with pytest.raises(UsageError, match=r"more than 2\*\*63: the standard deviations are too"):
        PermutohedralFilter(features, dtype=torch.float64)
