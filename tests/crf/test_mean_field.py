"""The updates against loops that add up the Potts penalty over all other labels."""

import math

import pytest
import torch
from torch import Tensor

from autoseg.crf.linear import LinearFilter
from autoseg.crf.mean_field import mean_field


class DenseFilter(LinearFilter):
    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def product(self, values: Tensor) -> Tensor:
        return self.matrix @ values

    def adjoint_product(self, values: Tensor) -> Tensor:
        return self.matrix.t() @ values


def softmax_of_loops(energies: list[float]) -> list[float]:
    weights = [math.exp(-energy) for energy in energies]
    return [weight / sum(weights) for weight in weights]


def by_loops(
    log_probabilities: Tensor, terms: list[tuple[float, Tensor]], num_iterations: int
) -> Tensor:
    num_labels, num_pixels = log_probabilities.shape
    unary = [
        [-log_probabilities[k, i].item() for k in range(num_labels)] for i in range(num_pixels)
    ]
    q = [softmax_of_loops(unary[i]) for i in range(num_pixels)]
    for _ in range(num_iterations):
        updated = []
        for i in range(num_pixels):
            energies = list(unary[i])
            for label in range(num_labels):
                for weight, kernel in terms:
                    for j in range(num_pixels):
                        for other in range(num_labels):
                            penalty = 1.0 if other != label else 0.0
                            energies[label] += weight * kernel[i, j].item() * penalty * q[j][other]
            updated.append(softmax_of_loops(energies))
        q = updated
    return torch.tensor(q, dtype=torch.float64).t()


@pytest.mark.parametrize("num_iterations", [0, 1, 4])
def test_equals_loops_over_labels_and_pixels(num_iterations):
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(3, 5, dtype=torch.float64, generator=generator)
    log_probabilities = scores.log_softmax(dim=0)
    # Kernels without symmetry or equal row sums: nothing may depend on either.
    kernels = torch.rand(2, 5, 5, dtype=torch.float64, generator=generator)
    weights = [0.7, 1.6]

    marginals = mean_field(
        log_probabilities,
        [
            (torch.tensor(weight, dtype=torch.float64), DenseFilter(kernel))
            for weight, kernel in zip(weights, kernels, strict=True)
        ],
        num_iterations=num_iterations,
    )

    expected = by_loops(log_probabilities, list(zip(weights, kernels, strict=True)), num_iterations)
    torch.testing.assert_close(marginals, expected, rtol=0, atol=1e-13)  # order of summation


def test_without_terms_the_updates_change_nothing():
    log_probabilities = torch.randn(4, 6, dtype=torch.float64).log_softmax(dim=0)

    marginals = mean_field(log_probabilities, [], num_iterations=3)

    torch.testing.assert_close(marginals, log_probabilities.exp())
