"""The updates against loops that add up the Potts penalty over all other labels."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

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


@pytest.mark.parametrize("has_compatibility", [False, True])
def test_derivatives_of_an_update_match_finite_differences(has_compatibility):
    # Neither filters nor compatibility are symmetric: a forgotten transpose shows.
    generator = torch.Generator().manual_seed(2)

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, dtype=torch.float64, generator=generator).requires_grad_()

    filters = [DenseFilter(draw(4, 4).detach()) for _ in range(2)]
    scores, weight, weights = draw(3, 4), draw(), draw(3)
    inputs = [scores, weight, weights, *([draw(3, 3)] if has_compatibility else [])]

    def marginals(
        scores: Tensor, weight: Tensor, weights: Tensor, compatibility: Tensor | None = None
    ) -> Tensor:
        terms = list(zip([weight, weights], filters, strict=True))
        return mean_field(scores, terms, num_iterations=2, compatibility=compatibility)

    assert torch.autograd.gradcheck(marginals, inputs)
    assert torch.autograd.gradgradcheck(marginals, inputs)


def test_an_update_waits_for_nothing_unless_changes_are_compared():
    scores = torch.randn(3, 5, dtype=torch.float64)
    terms = [(torch.tensor(0.5, dtype=torch.float64), DenseFilter(torch.rand(5, 5).double()))]
    reads = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            name = func.overloadpacket.__name__
            if name in ("_local_scalar_dense", "nonzero", "equal", "unique_dim", "_unique2"):
                reads.append(name)
            return func(*args, **(kwargs or {}))

    with Watch():
        mean_field(scores, terms, num_iterations=4)
    assert reads == []
    with Watch():
        mean_field(scores, terms, num_iterations=4, tolerance=1e-9)
    assert len(reads) == 4  # the watch would have seen it
