"""Weights drawn from Dirichlet distributions, against their moments in closed form."""

import pytest
import torch
import torch.nn.functional as F

from autoseg.architecture import normalise_alpha, normalise_beta
from autoseg.supernet import DirichletSupernet
from autoseg.supernet.dirichlet import draw_logits, log_concentration
from tests.supernet.test_supernet import small_space

NUM_DRAWS = 40_000
LOGITS = torch.tensor([-1.5, 0.0, 0.4, 2.0], dtype=torch.float64)


def supernet_of(space):
    torch.manual_seed(0)
    net = DirichletSupernet(space, num_classes=3, backend="torch").double()
    with torch.no_grad():
        net.alpha.normal_()
        net.beta.normal_()
    return net


def moments(concentration):
    """Mean, and variance of each weight, of a Dirichlet distribution."""
    mean = concentration / concentration.sum()
    return mean, mean * (1 - mean) / (concentration.sum() + 1)


def assert_has_moments(weights, concentration):
    """Compare samples, (draws, options), with both moments; to about five standard errors."""
    mean, variance = moments(concentration)
    assert bool(((weights.mean(0) - mean).abs() < 5 * (variance / NUM_DRAWS).sqrt()).all())
    torch.testing.assert_close(weights.var(0), variance, rtol=0.05, atol=0)


def test_concentrations_are_those_of_the_paper():
    logits = torch.linspace(-5, 5, 21, dtype=torch.float64)
    torch.testing.assert_close(log_concentration(logits).exp(), F.elu(logits) + 1)
    assert bool((log_concentration(torch.tensor([-40.0])).exp() > 0).all())


def test_samples_have_mean_and_variance_of_the_distribution():
    torch.manual_seed(0)
    weights = normalise_alpha(draw_logits(LOGITS.expand(NUM_DRAWS, -1)))
    assert_has_moments(weights, F.elu(LOGITS) + 1)


@pytest.mark.parametrize("rule", ["paper", "two-thirds"])
def test_edges_that_leave_a_border_have_a_distribution_of_their_own(rule):
    space = small_space(num_layers=126)  # many draws at once: the finest stride of each layer
    beta = torch.zeros(space.num_layers, space.num_levels, 3, dtype=torch.float64)
    beta[:, 0] = torch.tensor([5.0, -1.0, 1.0])  # nothing leads to a finer stride from there
    torch.manual_seed(0)
    draws = [normalise_beta(space, draw_logits(beta), rule=rule)[1:, 0] for _ in range(320)]
    weights = torch.cat(draws)
    assert bool((weights[:, 0] == 0).all())
    scale = 1 if rule == "paper" else 2 / 3
    assert_has_moments(
        weights[:, 1:] / scale, F.elu(torch.tensor([-1.0, 1.0], dtype=torch.float64)) + 1
    )


def test_the_gradient_is_on_average_that_of_the_expectation():
    # E[w^2] = c (c + 1) / (s (s + 1)), where s is the sum of the concentrations c.
    factors = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=torch.float64)
    logits = LOGITS.clone().requires_grad_()
    concentration = F.elu(logits) + 1
    total = concentration.sum()
    second_moments = concentration * (concentration + 1) / (total * (total + 1))
    (expected,) = torch.autograd.grad((factors * second_moments).sum(), logits)
    torch.manual_seed(0)
    each = LOGITS.repeat(NUM_DRAWS, 1).requires_grad_()
    weights = normalise_alpha(draw_logits(each))
    (slopes,) = torch.autograd.grad((factors * weights.square()).sum(), each)
    error = slopes.std(0) / NUM_DRAWS**0.5
    assert bool(((slopes.mean(0) - expected).abs() < 5 * error).all())
    assert bool((expected.abs() > 10 * error).all())  # else the comparison says little


def test_training_draws_and_all_else_is_the_mean():
    net = supernet_of(small_space())
    images = torch.randn(2, 3, 32, 48, dtype=torch.float64)
    torch.manual_seed(1)
    trained = [net(images) for _ in range(2)]
    assert not torch.equal(*trained)
    torch.manual_seed(1)
    with torch.no_grad():
        alpha, beta = net.mixed_logits()
        weights = normalise_alpha(alpha), normalise_beta(net.space, beta, rule="paper")
        # float64; with and without gradients other operators may add in another order.
        torch.testing.assert_close(
            net.forward_weighted(images, *weights), trained[0].detach(), rtol=1e-11, atol=1e-11
        )
    net.eval()
    mean = F.elu(net.alpha.detach()) + 1
    mean = mean / mean.sum(1, keepdim=True)
    _, beta = net.decoded_logits()
    with torch.no_grad():
        expected = net.forward_weighted(images, mean, normalise_beta(net.space, beta, rule="paper"))
        torch.testing.assert_close(net(images), expected)
    (trained[0].square().mean()).backward()
    live = normalise_beta(net.space, torch.zeros_like(net.beta), rule="paper") > 0
    assert torch.equal(net.beta.grad != 0, live)
    assert bool((net.alpha.grad != 0).all())
