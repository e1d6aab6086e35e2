"""The ranking of paths against the enumeration of all of them."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from autoseg.architecture import (
    SearchSpace,
    best_paths,
    count_best_paths,
    decode_path,
    edge_scores,
    path_score,
)
from tests.architecture.enumeration import all_paths, beta_indices, path_log_weights

SPACE = SearchSpace.load("autodeeplab")
ROUNDING = 1e-11  # of a sum of 12 logarithms, far below the gap of random paths


def space_of(num_layers, num_levels):
    strides = tuple(4 << level for level in range(num_levels))
    return dataclasses.replace(SPACE, num_layers=num_layers, strides=strides)


def random_beta(seed, num_layers=12, num_levels=4, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(num_layers, num_levels, 3, generator=generator, dtype=torch.float64)


def strides(levels):
    return tuple(4 << level for level in levels)


@pytest.mark.parametrize("num_levels", [1, 2, 3, 4])
@pytest.mark.parametrize("num_layers", [1, 2, 5, 7])
def test_gives_every_path_once_from_the_best_to_the_worst(num_layers, num_levels):
    space, beta = space_of(num_layers, num_levels), random_beta(3, num_layers, num_levels)
    ranking = list(best_paths(space, edge_scores(space, beta)))
    paths = all_paths(num_layers, num_levels)
    weights = path_log_weights(beta.numpy(), "paper")
    order = np.argsort(-weights, kind="stable")
    assert [ranked.path for ranked in ranking] == [strides(path) for path in paths[order]]
    np.testing.assert_allclose([ranked.score for ranked in ranking], weights[order], atol=ROUNDING)


@pytest.mark.parametrize("path_rule", ["paper", "unbiased"])
def test_the_first_of_all_75025_are_those_of_the_enumeration(path_rule):
    for seed in range(30):
        scores = edge_scores(SPACE, random_beta(seed), path_rule=path_rule)
        totals = scores.numpy().ravel()[beta_indices(12, 4)].sum(axis=1)
        best = np.argsort(-totals)[:20]
        ranking = list(itertools.islice(best_paths(SPACE, scores), 20))
        assert [ranked.path for ranked in ranking] == [strides(all_paths(12, 4)[i]) for i in best]
        np.testing.assert_allclose([r.score for r in ranking], totals[best], atol=ROUNDING)


def test_the_margin_to_the_second_path_is_exact_where_it_is_tiny():
    # The best path's beta is raised until its last two edges differ by 1e-9 alone.
    beta = torch.zeros(12, 4, 3, dtype=torch.float64)
    beta[:, 0, 1] = 5.0
    beta[11, 0, 2] = 5.0 - 1e-9
    first, second = itertools.islice(best_paths(SPACE, edge_scores(SPACE, beta)), 2)
    assert (first.path, second.path) == ((4,) * 12, (4,) * 11 + (8,))
    assert first.score - second.score == pytest.approx(1e-9, rel=1e-5)


def test_tied_paths_come_finest_first_and_are_counted():
    # Logits from {0, log 2}: exact ties abound, and logarithms round differently in two sums.
    ties = 0
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        beta = torch.randint(2, (12, 4, 3), generator=generator).double() * math.log(2)
        weights = path_log_weights(beta.numpy(), "paper")
        winners = np.flatnonzero(weights >= weights.max() - ROUNDING)
        scores = edge_scores(SPACE, beta)
        assert count_best_paths(SPACE, scores) == len(winners)
        ranking = itertools.islice(best_paths(SPACE, scores), len(winners))
        assert [r.path for r in ranking] == [strides(all_paths(12, 4)[i]) for i in winners]
        ties += len(winners) > 1
    assert ties >= 20


def test_where_all_paths_tie_they_come_in_the_order_of_their_strides():
    scores = edge_scores(SPACE, torch.zeros(12, 4, 3), path_rule="unbiased")
    first = list(itertools.islice(best_paths(SPACE, scores), 5))
    assert [ranked.path for ranked in first] == [strides(path) for path in all_paths(12, 4)[:5]]
    assert {ranked.score for ranked in first} == {0.0}


def test_the_first_path_is_the_decoded_one():
    for seed in range(20):
        beta = random_beta(seed, scale=0.3)
        assert next(best_paths(SPACE, edge_scores(SPACE, beta))).path == decode_path(SPACE, beta)


def test_a_path_scores_the_sum_of_its_edges_and_passes_gradients():
    beta = random_beta(0).requires_grad_()
    scores = edge_scores(SPACE, beta)
    paths = all_paths(12, 4)
    expected = path_log_weights(beta.detach().numpy(), "paper")
    for index in (0, 1, 40_000, len(paths) - 1):
        score = path_score(SPACE, scores, strides(paths[index]))
        assert float(score.detach()) == pytest.approx(expected[index], abs=ROUNDING)
        (gradient,) = torch.autograd.grad(score, beta, retain_graph=True)
        # d log softmax: 1 at the edge taken, minus the probabilities of the node's edges.
        assert gradient.sum(dim=-1).abs().max() < 1e-14
        assert int((gradient > 0).sum()) == 12
