"""Filters, their gradient and their normalisation, against dense matrices."""

import numpy as np
import pytest
import torch
from torch import Tensor

from autoseg.crf.linear import NORMALISATIONS, LinearFilter, Normalised, SparseMatrix


class DenseFilter(LinearFilter):
    """A filter whose matrix is at hand, and not symmetric, so that A and A^T differ."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def product(self, values: Tensor) -> Tensor:
        return self.matrix @ values

    def adjoint_product(self, values: Tensor) -> Tensor:
        return self.matrix.t() @ values


@pytest.fixture
def matrix() -> Tensor:
    return torch.rand(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_gradient_is_the_adjoint(matrix):
    values = torch.rand(5, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(5, 3, dtype=torch.float64)

    (gradient,) = torch.autograd.grad((DenseFilter(matrix)(values) * weights).sum(), values)

    torch.testing.assert_close(gradient, matrix.t() @ weights)


def test_first_and_second_derivatives_match_finite_differences(matrix):
    values = torch.rand(5, 2, dtype=torch.float64, requires_grad=True)

    def cubed(values: Tensor) -> Tensor:
        return DenseFilter(matrix)(values) ** 3

    assert torch.autograd.gradcheck(cubed, (values,))
    assert torch.autograd.gradgradcheck(cubed, (values,))


def test_normalisation_divides_by_the_roots_of_both_row_sums(matrix):
    values = torch.rand(5, 2, dtype=torch.float64)
    ones = torch.ones(5, 1, dtype=torch.float64)
    root = np.sqrt(matrix.numpy().sum(axis=1))
    expected = torch.from_numpy(matrix.numpy() / root[:, None] / root[None, :])

    normalised = Normalised(DenseFilter(matrix), ones, "symmetric")

    torch.testing.assert_close(normalised.product(values), expected @ values)
    torch.testing.assert_close(normalised.adjoint_product(values), expected.t() @ values)


def test_normalisation_drops_a_constant_factor_of_the_kernel(matrix):
    values = torch.rand(5, 2, dtype=torch.float64)
    ones = torch.ones(5, 1, dtype=torch.float64)

    once, seven_times = (
        Normalised(DenseFilter(factor * matrix), ones, "symmetric").product(values)
        for factor in (1, 7)
    )

    torch.testing.assert_close(once, seven_times)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_every_normalisation_and_its_adjoint(matrix, normalisation):
    values = torch.rand(5, 2, dtype=torch.float64)
    ones = torch.ones(5, 1, dtype=torch.float64)
    sums = matrix.sum(dim=1)
    expected = {
        "symmetric": matrix / torch.outer(sums.sqrt(), sums.sqrt()),
        "before": matrix / sums,  # column j by the sum of row j
        "after": matrix / sums[:, None],
        "none": matrix,
    }[normalisation]

    filter_ = Normalised(DenseFilter(matrix), ones, normalisation)

    torch.testing.assert_close(filter_.product(values), expected @ values)
    torch.testing.assert_close(filter_.adjoint_product(values), expected.t() @ values)


def test_sparse_matrix_multiplies_like_a_dense_one():
    # Rows of 2, 0, 1 and 3 entries, one column named twice in a row.
    columns = torch.tensor([4, 0, 2, 1, 3, 1], dtype=torch.int32)
    row_starts = torch.tensor([0, 2, 2, 3], dtype=torch.int32)
    weights = torch.tensor([0.5, -1.0, 2.0, 3.0, 0.25, 4.0], dtype=torch.float64)
    expected = torch.zeros(4, 5, dtype=torch.float64)
    for row, entries in enumerate(([0, 1], [], [2], [3, 4, 5])):
        for entry in entries:
            expected[row, columns[entry]] += weights[entry]
    dense = torch.rand(5, 3, dtype=torch.float64)

    product = SparseMatrix(columns, row_starts, weights) @ dense

    torch.testing.assert_close(product, expected @ dense)


def test_sparse_matrix_from_rows_of_equal_length():
    columns = torch.tensor([[0, 2], [1, 1], [2, 0]])
    weights = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    dense = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])

    product = SparseMatrix.from_rows(columns, weights) @ dense

    torch.testing.assert_close(product, torch.tensor([[7.0, 70.0], [14.0, 140.0], [21.0, 210.0]]))
