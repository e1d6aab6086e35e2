"""Normalisation of alpha and beta against the equations, written out node by node."""

import dataclasses
import re

import numpy as np
import pytest
import torch

from autoseg.architecture import SearchSpace, live_betas, normalise_alpha, normalise_beta
from tests.architecture.enumeration import beta_indices, log_weights, path_log_weights

RULES = ["paper", "two-thirds"]
SIZES = [(1, 4), (2, 4), (3, 4), (12, 4), (5, 1), (5, 2), (5, 3)]
TOLERANCE = {torch.float64: 1e-14, torch.float32: 1e-6}  # rounding of a softmax over 3 numbers


def space_of(num_layers=12, num_levels=4):
    return dataclasses.replace(
        SearchSpace.load("autodeeplab"),
        num_layers=num_layers,
        strides=tuple(4 << level for level in range(num_levels)),
    )


def random_beta(space, *, seed=0, scale=2.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    shape = (space.num_layers, space.num_levels, 3)
    return (scale * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)


def taken_entries(space):
    """Entries of beta that some enumerated path takes."""
    taken = np.zeros(space.num_layers * space.num_levels * 3, dtype=bool)
    taken[beta_indices(space.num_layers, space.num_levels).ravel()] = True
    return torch.from_numpy(taken.reshape(space.num_layers, space.num_levels, 3))


@pytest.mark.parametrize("size", SIZES)
def test_live_betas_are_those_that_a_path_takes(size):
    space = space_of(*size)
    assert torch.equal(live_betas(space), taken_entries(space))


@pytest.mark.parametrize(
    ("num_layers", "num_live"), [(1, 2), (2, 7), (3, 15), (4, 25), (8, 65), (12, 105)]
)
def test_number_of_live_betas(num_layers, num_live):
    assert int(live_betas(space_of(num_layers)).sum()) == num_live


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", SIZES)
def test_equals_the_softmax_over_the_outgoing_edges_of_each_node(size, rule, dtype):
    space = space_of(*size)
    beta = random_beta(space, dtype=dtype)
    weights = normalise_beta(space, beta, rule=rule)
    expected = np.where(taken_entries(space), np.exp(log_weights(beta.double().numpy(), rule)), 0)
    assert weights.dtype == dtype
    assert np.abs(weights.double().numpy() - expected).max() <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_edges_that_leave_a_node_sum_to_their_rule(dtype):
    space = space_of()
    beta, live = random_beta(space, dtype=dtype), live_betas(space)
    num_outgoing = live.sum(dim=-1).to(dtype)
    paper = normalise_beta(space, beta).sum(dim=-1)
    two_thirds = normalise_beta(space, beta, rule="two-thirds").sum(dim=-1)
    tolerance = TOLERANCE[dtype]
    assert (paper - num_outgoing.clamp(max=1)).abs().max() <= tolerance
    assert (two_thirds - num_outgoing / 3).abs().max() <= tolerance
    # 2/3 at the finest and the coarsest stride, 1 between them, as its name says.
    assert torch.allclose(two_thirds[-1], torch.tensor([2 / 3, 1, 1, 2 / 3], dtype=dtype))


@pytest.mark.parametrize("rule", RULES)
def test_hand_example(rule):
    # e^log(3) : 1 at the stem, whose only directions are same and down.
    space = space_of(num_layers=1)
    beta = torch.zeros(1, 4, 3, dtype=torch.float64)
    beta[0, 0, 1] = np.log(3)
    factor = 1 if rule == "paper" else 2 / 3
    expected = torch.zeros_like(beta)
    expected[0, 0, 1:] = torch.tensor([0.75 * factor, 0.25 * factor], dtype=torch.float64)
    assert torch.allclose(normalise_beta(space, beta, rule=rule), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("rule", RULES)
def test_probabilities_of_all_paths(rule):
    # Paper: weights are conditional probabilities, so the paths' probabilities sum to 1.
    space = space_of()
    beta = random_beta(space)
    weights = normalise_beta(space, beta, rule=rule).numpy().ravel()
    path_weights = weights[beta_indices(12, 4)].prod(axis=1)
    expected = np.exp(path_log_weights(beta.numpy(), rule))
    np.testing.assert_allclose(
        path_weights, expected, rtol=1e-12
    )  # a product of 12 rounded factors
    if rule == "paper":
        assert path_weights.sum() == pytest.approx(1, abs=1e-12)
    else:
        assert path_weights.sum() < 1


def test_uniform_beta_has_the_analytic_path_probabilities():
    space = space_of()
    beta = torch.zeros(12, 4, 3, dtype=torch.float64)
    paper = normalise_beta(space, beta).numpy().ravel()[beta_indices(12, 4)].prod(axis=1)
    assert paper.sum() == pytest.approx(1, abs=1e-13)
    assert paper.max() == pytest.approx(2.0**-12, rel=1e-13)
    # All at stride 4, and stride 4 until a last step to stride 8.
    assert np.count_nonzero(paper > 2.0**-12 * (1 - 1e-9)) == 2
    weights = normalise_beta(space, beta, rule="two-thirds").numpy().ravel()
    two_thirds = weights[beta_indices(12, 4)].prod(axis=1)
    np.testing.assert_allclose(two_thirds, 3.0**-12, rtol=1e-13)
    assert two_thirds.sum() == pytest.approx(75_025 / 3**12, rel=1e-13)
    assert two_thirds.sum() == pytest.approx(0.141173, abs=5e-7)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dead", [0.0, 1e9, -1e9, float("inf"), float("nan")])
def test_dead_entries_have_no_weight_no_influence_and_no_gradient(rule, dtype, dead):
    for size in SIZES:
        space = space_of(*size)
        live = live_betas(space)
        clean = random_beta(space, dtype=dtype)
        beta = torch.where(live, clean, torch.tensor(dead, dtype=dtype)).requires_grad_()
        weights = normalise_beta(space, beta, rule=rule)
        assert weights.dtype == dtype
        assert torch.equal(weights, normalise_beta(space, clean, rule=rule))
        assert not weights[~live].any()
        assert weights[live].min() > 0
        # An unequal mixture: the sum of all weights would have no gradient at all.
        generator = torch.Generator().manual_seed(1)
        mixture = torch.randn(weights.shape, generator=generator, dtype=dtype)
        (gradient,) = torch.autograd.grad((weights * mixture).sum(), beta)
        assert not gradient[~live].any()
        if space.num_levels > 1:  # a node with one edge has weight 1 whatever beta is
            assert gradient[live].all()


@pytest.mark.parametrize("rule", RULES)
def test_gradient_equals_finite_differences(rule):
    space = space_of(3, 4)
    beta = random_beta(space).requires_grad_()
    assert torch.autograd.gradcheck(lambda b: normalise_beta(space, b, rule=rule), (beta,))


@pytest.mark.parametrize("scale", [1e3, 1e9, 1e30])
def test_large_logits_stay_finite(scale):
    space = space_of()
    beta = random_beta(space, scale=scale, dtype=torch.float32).requires_grad_()
    weights = normalise_beta(space, beta)
    (gradient,) = torch.autograd.grad(weights.square().sum(), beta)
    assert weights.isfinite().all() and gradient.isfinite().all()
    assert torch.allclose(weights.sum(dim=-1), live_betas(space).any(dim=-1).float())


def test_alpha_is_normalised_over_the_operations_of_an_edge():
    alpha = torch.tensor([[0.0, np.log(2.0), np.log(5.0)], [7.0, 7.0, 7.0]], dtype=torch.float64)
    expected = torch.tensor([[1 / 8, 2 / 8, 5 / 8], [1 / 3, 1 / 3, 1 / 3]], dtype=torch.float64)
    assert torch.allclose(normalise_alpha(alpha), expected, rtol=0, atol=1e-15)


def test_a_beta_of_another_space_is_refused():
    message = "beta has shape (12, 3, 3), but the space needs (12, 4, 3)."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        normalise_beta(space_of(), torch.zeros(12, 3, 3))


def test_an_unknown_rule_is_refused():
    message = "unknown beta normalisation 'fork': it is 'paper' or 'two-thirds'."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        normalise_beta(space_of(), torch.zeros(12, 4, 3), rule="fork")  # type: ignore[arg-type]
