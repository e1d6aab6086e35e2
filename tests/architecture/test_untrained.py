"""The null of a decoded path: against all permutations of small spaces, and against noise."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from autoseg.architecture import SearchSpace, compare_with_untrained, decode_path
from tests.architecture.enumeration import path_log_weights

SPACE = SearchSpace.load("autodeeplab")


def space_of(num_layers, num_levels):
    strides = tuple(4 << level for level in range(num_levels))
    return dataclasses.replace(SPACE, num_layers=num_layers, strides=strides)


def noise(seed, num_layers=12, num_levels=4, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(num_layers, num_levels, 3, generator=generator, dtype=torch.float64)


def compare(space, beta, path_rule="paper", **options):
    path = decode_path(space, beta, path_rule=path_rule)
    return compare_with_untrained(space, beta, path, path_rule=path_rule, **options)


def every_shuffle(space, beta):
    """All betas whose nodes' edges have changed places, by recursion over the nodes."""
    nodes = sorted({(edge.layer, edge.source_level) for edge in space.trellis()})
    results = [beta]
    for layer, level in nodes:
        live = [k for k in range(3) if 0 <= level + k - 1 < space.num_levels]
        longer = []
        for before in results:
            for order in itertools.permutations(live):
                permuted = before.clone()
                permuted[layer, level, live] = before[layer, level, list(order)]
                longer.append(permuted)
        results = longer
    return results


@pytest.mark.parametrize("seed", range(6))
def test_p_and_share_are_those_of_all_permutations(seed):
    space, beta = space_of(2, 3), noise(seed, 2, 3)
    shuffles = every_shuffle(space, beta)
    assert len(shuffles) == 2 * 2 * 6  # the stem, then stride 4 and stride 8
    best = path_log_weights(beta.numpy(), "paper").max()
    others = np.array([path_log_weights(s.numpy(), "paper").max() for s in shuffles])
    as_high, as_low = np.mean(others >= best - 1e-9), np.mean(others <= best + 1e-9)
    path = decode_path(space, beta)
    same = [decode_path(space, s) == path for s in shuffles]
    result = compare(space, beta, num_shuffles=4000)
    # 4000 draws: a share's standard error is at most 0.008.
    assert result.as_high_share == pytest.approx(as_high, abs=0.032)
    assert result.p_value == pytest.approx(min(1, 2 * min(as_high, as_low)), abs=0.064)
    assert result.same_path_share == pytest.approx(np.mean(same), abs=0.032)


@pytest.mark.parametrize("path_rule", ["paper", "unbiased"])
@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_of_betas_that_are_noise_one_in_twenty_has_p_below_a_twentieth(path_rule, scale):
    values = np.array(
        [
            compare(SPACE, noise(seed, scale=scale), path_rule, num_shuffles=99).p_value
            for seed in range(300)
        ]
    )
    # 300 draws, 15 expected with a deviation of 3.8; and the mean of a uniform variable.
    assert 3 <= np.count_nonzero(values <= 0.05) <= 29
    assert values.mean() == pytest.approx(0.5, abs=4 * 0.29 / 300**0.5)


def along_a_path(strength):
    beta, before = noise(0, scale=0.02), 0
    for layer, level in enumerate((0, 1, 2, 2, 1, 1, 2, 2, 2, 1, 2, 2)):
        beta[layer, before, level - before + 1] += strength
        before = level
    return beta


@pytest.mark.parametrize(("path_rule", "strength"), [("unbiased", 0.1), ("paper", 1.5)])
def test_betas_that_line_up_along_a_path_are_told_from_noise(path_rule, strength):
    result = compare(SPACE, along_a_path(strength), path_rule)
    assert not result.is_untrained
    assert result.p_value < 0.02
    assert result.as_high_share < 0.01
    assert result.same_path_share < 0.1


def test_the_border_hides_a_path_from_the_papers_rule():
    assert compare(SPACE, along_a_path(0.1)).is_untrained


@pytest.mark.parametrize(("path_rule", "strength"), [("unbiased", 0.5), ("paper", 3.0)])
def test_betas_that_point_to_coarser_strides_everywhere_are_told_from_noise(path_rule, strength):
    # No path can follow them, so that their shuffles score higher.
    beta = noise(0, scale=0.01)
    beta[..., 2] += strength
    result = compare(SPACE, beta, path_rule)
    assert result.p_value < 0.02
    assert result.as_high_share > 0.99


def test_a_uniform_beta_is_its_own_null():
    result = compare(SPACE, torch.zeros(12, 4, 3))
    assert (result.num_paths, result.num_tied, result.is_untrained) == (75_025, 2, True)
    assert (result.p_value, result.as_high_share, result.same_path_share) == (1.0, 1.0, 1.0)


def test_noise_decodes_the_untrained_path_under_the_papers_rule():
    results = [compare(SPACE, noise(seed, scale=0.01)) for seed in range(20)]
    assert all(result.is_untrained for result in results)
    # Two paths tie at uniform beta; the last step decides by a coin.
    assert np.mean([result.same_path_share for result in results]) == pytest.approx(0.5, abs=0.1)


def test_under_the_unbiased_rule_no_path_is_the_untrained_one():
    result = compare(SPACE, torch.zeros(12, 4, 3), "unbiased")
    assert (result.num_tied, result.is_untrained) == (75_025, False)


def test_without_shuffles_nothing_is_claimed():
    result = compare(SPACE, noise(0), num_shuffles=0)
    assert (result.num_shuffles, result.p_value, result.same_path_share) == (0, 1.0, 0.0)


def test_the_seed_decides_the_shuffles():
    first, again, other = (compare(SPACE, noise(0), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.p_value != other.p_value
