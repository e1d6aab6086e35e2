"""The scores of edges under both path rules, against the equations and against noise."""

import dataclasses
import math
import re

import numpy as np
import pytest
import torch

from autoseg.architecture import (
    SearchSpace,
    best_paths,
    count_best_paths,
    decode_path,
    edge_scores,
    live_betas,
    normalise_beta,
)
from tests.architecture.enumeration import all_paths, beta_indices, path_log_weights

SPACE = SearchSpace.load("autodeeplab")
BORDERS = (4, 32)


def space_of(num_layers=12, num_levels=4):
    strides = tuple(4 << level for level in range(num_levels))
    return dataclasses.replace(SPACE, num_layers=num_layers, strides=strides)


def noise(seed, scale, num_layers=12, num_levels=4):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(num_layers, num_levels, 3, generator=generator, dtype=torch.float64)


def border_share(scale, path_rule, num_draws, first_seed=0):
    """Share of layers at the finest or coarsest stride that noise of this size decodes."""
    layers = [
        stride in BORDERS
        for seed in range(first_seed, first_seed + num_draws)
        for stride in decode_path(SPACE, noise(seed, scale), path_rule=path_rule)
    ]
    return np.mean(layers)


@pytest.mark.parametrize("beta_norm", ["paper", "two-thirds"])
@pytest.mark.parametrize("size", [(1, 4), (3, 4), (12, 4), (5, 1), (5, 2)])
def test_the_papers_scores_are_the_logarithms_of_the_weights(size, beta_norm):
    space, beta = space_of(*size), noise(0, 2.0, *size)
    scores = edge_scores(space, beta, beta_norm=beta_norm)
    weights = normalise_beta(space, beta, rule=beta_norm)
    assert torch.allclose(scores, weights.log(), rtol=0, atol=1e-13)


def test_the_papers_scores_survive_weights_that_underflow():
    # exp(-2000) is 0 in float64; the two unlikely edges still differ by 1000.
    beta = torch.zeros(12, 4, 3)
    beta[3, 1] = torch.tensor([-2000.0, 0.0, -1000.0])
    assert torch.equal(edge_scores(SPACE, beta)[3, 1], beta[3, 1].double())


@pytest.mark.parametrize("beta_norm", ["paper", "two-thirds"])
@pytest.mark.parametrize("size", [(1, 4), (3, 4), (12, 4), (5, 1), (5, 2)])
def test_unbiased_scores_are_relative_to_the_mean_of_their_node(size, beta_norm):
    space, beta = space_of(*size), noise(0, 2.0, *size)
    scores = edge_scores(space, beta, beta_norm=beta_norm, path_rule="unbiased").numpy()
    num_layers, num_levels = size
    reachable = {(edge.layer, edge.source_level) for edge in space.trellis()}
    for layer in range(num_layers):
        for level in range(num_levels):
            directions = [k for k in range(3) if 0 <= level + k - 1 < num_levels]
            if (layer, level) not in reachable:
                directions = []
            row = [math.log(math.exp(beta[layer, level, k])) for k in directions]
            for k in range(3):
                expected = (
                    row[directions.index(k)] - sum(row) / len(row) if k in directions else -math.inf
                )
                assert scores[layer, level, k] == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("value", [0.0, 0.1, -1234.567])
def test_without_a_search_all_paths_tie_exactly(value):
    scores = edge_scores(SPACE, torch.full((12, 4, 3), value), path_rule="unbiased")
    totals = scores.numpy().ravel()[beta_indices(12, 4)].sum(axis=1)
    assert totals.shape == (75_025,)
    assert not totals.any()
    assert count_best_paths(SPACE, scores) == 75_025
    # The tie goes to the finest.
    assert next(best_paths(SPACE, scores)).path == (4,) * 12


def test_without_a_search_the_papers_rule_prefers_two_paths_of_75025():
    scores = edge_scores(SPACE, torch.zeros(12, 4, 3))
    assert count_best_paths(SPACE, scores) == 2
    totals = path_log_weights(np.zeros((12, 4, 3)), "paper")
    assert np.exp(totals.max()) == pytest.approx(2.0**-12)
    assert np.exp(totals.min()) > 3.0**-12  # the stem has two ways out on every path


@pytest.mark.parametrize(("scale", "share"), [(0.1, 0.946), (0.3, 0.756), (1.0, 0.512)])
def test_the_papers_rule_decodes_noise_along_the_border(scale, share):
    # Shares of 20,000 draws, by an independent program; one draw spreads by at most 0.16.
    assert border_share(scale, "paper", 300) == pytest.approx(share, abs=3 * 0.16 / 300**0.5)


@pytest.mark.parametrize("scale", [0.1, 0.3, 1.0, 10.0])
def test_the_unbiased_rule_decodes_noise_as_often_along_the_border_as_paths_lie_there(scale):
    uniform = np.isin(all_paths(12, 4), (0, 3)).mean()
    assert uniform == pytest.approx(0.297, abs=5e-4)
    # The best of paths that share edges is not quite a uniform draw: 20,000 draws gave 0.307.
    share = border_share(scale, "unbiased", 300, first_seed=round(1000 * scale))
    assert share == pytest.approx(uniform, abs=0.01 + 2 * 0.16 / 300**0.5)


def test_noise_of_any_size_has_the_expected_score_zero_on_every_edge():
    draws = torch.stack(
        [edge_scores(SPACE, noise(seed, 3.0), path_rule="unbiased") for seed in range(2000)]
    )
    live = live_betas(SPACE)
    errors = (draws.mean(0) / draws.std(0) * 2000**0.5)[live]
    assert errors.abs().max() < 4.5  # standard errors; 105 edges
    # Dividing by the number of edges alone is not enough: large noise then favours the border.
    biased = torch.stack(
        [edge_scores(SPACE, noise(seed, 3.0), beta_norm="two-thirds") for seed in range(2000)]
    ).mean(0)
    border, middle = biased[-1, 0, 1:].mean(), biased[-1, 1].mean()
    assert border - middle > 0.2


@pytest.mark.parametrize("factor", [1e-6, 0.03, 7.0, 1e4])
def test_how_far_beta_was_trained_changes_no_unbiased_decision(factor):
    for seed in range(30):
        beta = noise(seed, 1.0)
        expected = decode_path(SPACE, beta, path_rule="unbiased")
        assert decode_path(SPACE, factor * beta, path_rule="unbiased") == expected


def test_a_constant_on_the_edges_of_a_node_changes_nothing():
    # The softmax does not see it, so training never decides it.
    for path_rule in ("paper", "unbiased"):
        for seed in range(10):
            beta = noise(seed, 1.0)
            shifted = beta + noise(seed + 100, 5.0)[..., :1]
            live = live_betas(SPACE)
            before = edge_scores(SPACE, beta, path_rule=path_rule)[live]
            after = edge_scores(SPACE, shifted, path_rule=path_rule)[live]
            assert torch.allclose(before, after, rtol=0, atol=1e-13)


def test_an_unknown_path_rule_is_refused():
    message = "unknown path rule 'fair': it is 'paper' or 'unbiased'."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        decode_path(SPACE, torch.zeros(12, 4, 3), path_rule="fair")  # type: ignore[arg-type]
