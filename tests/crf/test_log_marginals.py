"""`DenseCRF.log_marginals` against loops over pairs of pixels, and where probabilities vanish."""

import pytest
import torch
from torch import Tensor

from autoseg.crf import DenseCRF
from autoseg.errors import UsageError
from tests.crf.reference import SETTINGS, marginals_by_loops, scene, settings_with

needs_gradient = pytest.mark.parametrize("needs_gradient", [True, False])


@needs_gradient
@pytest.mark.parametrize("num_iterations", [0, 1, 4])
def test_it_is_the_logarithm_of_the_equations(num_iterations, needs_gradient):
    logits, images = scene(3, (5, 6))
    crf = DenseCRF(**SETTINGS, mode="exact")
    expected = marginals_by_loops(
        logits[0], images[0], settings_with(num_iterations=num_iterations)
    )

    with torch.set_grad_enabled(needs_gradient):
        result = crf.log_marginals(logits, images, num_iterations=num_iterations)

    # float64, but for the spatial filter's truncation; as loose as the marginals' own test.
    torch.testing.assert_close(result[0].exp(), expected.view(3, 5, 6), rtol=1e-5, atol=1e-9)
    assert crf.settings.num_iterations == SETTINGS["num_iterations"]


@needs_gradient
def test_without_a_number_the_updates_are_the_modules(needs_gradient):
    logits, images = scene(3, (8, 9))
    crf = DenseCRF(**SETTINGS)
    with torch.set_grad_enabled(needs_gradient):
        result = crf.log_marginals(logits.float(), images)
        # float32, a logarithm of probabilities that are not tiny
        torch.testing.assert_close(result, crf(logits.float(), images).log(), rtol=1e-4, atol=1e-5)


def test_its_gradient_is_that_of_finite_differences():
    logits, images = scene(3, (3, 4))
    mu = torch.tensor([[0.25, 1.5, 0.5], [0.75, -0.5, 1.0], [2.0, 1.0, 0.0]])
    crf = DenseCRF(**settings_with(num_iterations=2), compatibility=mu).double()
    names = [name for name, _ in crf.named_parameters()]

    class LogMarginals(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.crf = crf

        def forward(self, logits: Tensor) -> Tensor:
            return self.crf.log_marginals(logits, images)

    def log_marginals(logits: Tensor, *parameters: Tensor) -> Tensor:
        by_name = {f"crf.{n}": p for n, p in zip(names, parameters, strict=True)}
        return torch.func.functional_call(LogMarginals(), by_name, (logits,))

    assert torch.autograd.gradcheck(log_marginals, (logits.requires_grad_(), *crf.parameters()))


def test_a_probability_of_zero_has_a_logarithm_and_a_gradient():
    images = torch.zeros(1, 3, 2, 3, dtype=torch.uint8)
    logits = torch.tensor([150.0, -150.0]).view(1, 2, 1, 1).expand(1, 2, 2, 3).clone()
    crf = DenseCRF(**settings_with(bilateral_weight=1.0, spatial_weight=1.0), normalisation="after")

    result = crf.log_marginals(logits.requires_grad_(), images)

    # Each kernel's rows sum to 1, so that class 0 hears 1 of itself from each and class 1 nothing.
    expected = torch.tensor([0.0, -302.0]).view(1, 2, 1, 1).expand(1, 2, 2, 3)
    torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6)
    result[:, 1].sum().backward()
    expected = torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 2, 3)
    torch.testing.assert_close(logits.grad, expected)
    with torch.no_grad():
        result = crf.log_marginals(logits, images)
    assert result.isfinite().all()
    # -87.3: the smallest normal float32
    assert (result[:, 1] < -87).all()


def test_a_negative_number_of_updates_is_refused():
    logits, images = scene(3, (3, 4))
    with pytest.raises(UsageError, match=r"num_iterations is -2; it must not be negative"):
        DenseCRF(**SETTINGS).log_marginals(logits, images, num_iterations=-2)
