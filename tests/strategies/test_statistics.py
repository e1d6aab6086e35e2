"""Entropies and skip share against cases worked by hand."""

import dataclasses
import math

import pytest
import torch

from autoseg.architecture import Architecture, CellEdge, SearchSpace
from autoseg.strategies import alpha_entropy, beta_entropy, skip_share

SPACE = SearchSpace.load("autodeeplab")


def test_uniform_weights_have_entropy_one():
    assert alpha_entropy(torch.zeros(20, 8)) == pytest.approx(1)
    for rule in ("paper", "two-thirds"):
        beta = torch.zeros(12, 4, 3)
        assert beta_entropy(SPACE, beta, beta_norm=rule) == pytest.approx(1)


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


def test_skip_share_counts_edges():
    skip, other = CellEdge(0, "skip_connect"), CellEdge(1, "sep_conv_3x3")
    architecture = Architecture(
        space="x", strides=(4,), path=(4,), cell=((skip, other), (other, other))
    )
    assert skip_share(architecture) == 0.25
