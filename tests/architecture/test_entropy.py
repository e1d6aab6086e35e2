"""Entropies against cases worked by hand."""

import dataclasses
import math

import pytest
import torch

from autoseg.architecture import SearchSpace, alpha_entropy, beta_entropy, near_uniform

SPACE = SearchSpace.load("autodeeplab")


def test_uniform_weights_have_entropy_one():
    assert alpha_entropy(torch.zeros(20, 8)) == pytest.approx(1)
    for rule in ("paper", "two-thirds"):
        beta = torch.zeros(12, 4, 3)
        assert beta_entropy(SPACE, beta, beta_norm=rule) == pytest.approx(1)


def test_a_search_that_decided_nothing_says_so():
    assert near_uniform(1.0, 0.99512) == (
        "alpha (1.0000) and beta (0.9951) have hardly moved: the normalised entropy is 1 without a "
        "search, and still above 0.99. What was decoded from it is close to chance; search longer, "
        "and retrain architectures drawn at random beside it before you believe in it."
    )
    assert near_uniform(0.3, 0.999).startswith("beta (0.9990) has hardly moved: ")
    assert near_uniform(0.991, 0.5).startswith("alpha (0.9910) has hardly moved: ")
    assert near_uniform(0.99, 0.99) is None


def test_the_rule_is_a_spread_of_a_fifth():
    """Eight weights, half of them a fifth above 1/8 and half below, lie just at the rule."""
    for spread, is_told in ((0.19, True), (0.21, False)):
        weights = torch.tensor([1 + spread, 1 - spread] * 4).double() / 8
        told = near_uniform(alpha_entropy(weights.log().expand(20, 8)), 0.0)
        assert (told is not None) == is_told


def test_decided_weights_have_entropy_zero():
    alpha, beta = torch.zeros(20, 8), torch.zeros(12, 4, 3)
    alpha[:, 3], beta[..., 1] = 1e4, 1e4
    assert alpha_entropy(alpha) == pytest.approx(0)
    assert beta_entropy(SPACE, beta) == pytest.approx(0)


def test_entropy_is_relative_to_the_number_of_choices():
    # Half the weight on each of two of eight operations: log 2 / log 8 = 1 / 3.
    alpha = torch.full((2, 8), -1e4)
    alpha[:, :2] = 0
    assert alpha_entropy(alpha) == pytest.approx(1 / 3)
    # One layer: the stem alone has a choice, of two edges with weights 1 / 4 and 3 / 4.
    space = dataclasses.replace(SPACE, num_layers=1)
    beta = torch.zeros(1, 4, 3)
    beta[0, 0, 2] = math.log(3)
    expected = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(2)
    assert beta_entropy(space, beta) == pytest.approx(expected)


def test_a_space_without_choices_has_entropy_zero():
    space = dataclasses.replace(SPACE, strides=(4,), operations=("skip_connect",))
    assert beta_entropy(space, torch.zeros(12, 1, 3)) == 0
    assert alpha_entropy(torch.zeros(20, 1)) == 0
