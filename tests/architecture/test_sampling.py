"""Random architectures: every path and every cell with the same probability."""

import dataclasses
import itertools
import re
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

from autoseg.architecture import (
    CellEdge,
    SearchSpace,
    path_of_rank,
    sample_architecture,
    sample_cell,
    sample_path,
)
from autoseg.architecture.sampling import _draw_below
from tests.architecture.enumeration import all_paths

SPACE = SearchSpace.load("autodeeplab")
ALMOST_NEVER = 1e-4
"""Probability below which a fair draw is called unfair. Seeds are fixed: a test that passes once
always passes."""


def space_of(num_layers=12, num_levels=4, **changes):
    strides = tuple(4 << level for level in range(num_levels))
    return dataclasses.replace(SPACE, num_layers=num_layers, strides=strides, **changes)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def p_of_uniform(draws, num_outcomes):
    """p of the chi-square test that `draws` are uniform over 0 to num_outcomes - 1."""
    counts = np.bincount(draws, minlength=num_outcomes)
    assert len(counts) == num_outcomes
    return stats.chisquare(counts).pvalue


def test_ranks_number_all_75025_paths_in_order():
    ranked = [path_of_rank(SPACE, rank) for rank in range(75_025)]
    assert ranked == [tuple(4 << i for i in path) for path in all_paths(12, 4).tolist()]


@pytest.mark.parametrize("num_levels", [1, 2, 3, 5])
@pytest.mark.parametrize("num_layers", [1, 2, 3, 6])
def test_ranks_number_the_paths_of_other_sizes(num_layers, num_levels):
    space = space_of(num_layers, num_levels)
    ranked = [path_of_rank(space, rank) for rank in range(space.num_paths())]
    expected = all_paths(num_layers, num_levels).tolist()
    assert ranked == [tuple(4 << i for i in path) for path in expected]


@pytest.mark.parametrize("rank", [-1, 75_025])
def test_a_rank_beyond_the_paths_is_refused(rank):
    message = f"path_of_rank: rank {rank}, but the space has 75025 paths, numbered from 0."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        path_of_rank(SPACE, rank)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 64, 100])
def test_numbers_below_a_limit_are_uniform(limit):
    generator = seeded(limit)
    draws = [_draw_below(limit, generator) for _ in range(40 * limit)]
    assert max(draws) < limit
    if limit > 1:
        assert p_of_uniform(draws, limit) > ALMOST_NEVER


def test_numbers_below_a_limit_beyond_64_bits_are_uniform():
    limit, generator = 3 * 2**90 + 12345, seeded()
    bins = [_draw_below(limit, generator) * 30 // limit for _ in range(3000)]
    assert p_of_uniform(bins, 30) > ALMOST_NEVER


@pytest.mark.parametrize("size", [(3, 4), (5, 3)])
def test_every_path_is_as_likely_as_any_other(size):
    space, generator = space_of(*size), seeded()
    number = {tuple(4 << i for i in p): n for n, p in enumerate(all_paths(*size).tolist())}
    draws = [number[sample_path(space, generator)] for _ in range(50 * len(number))]
    assert p_of_uniform(draws, len(number)) > ALMOST_NEVER


def test_paths_of_twelve_layers_are_uniform():
    number = {tuple(4 << i for i in p): n for n, p in enumerate(all_paths(12, 4).tolist())}
    generator = seeded()
    draws = [number[sample_path(SPACE, generator)] for _ in range(5000)]
    # 75,025 = 25 * 3001 bins of equal size, of neighbours and of paths that are far apart.
    assert p_of_uniform([draw // 3001 for draw in draws], 25) > ALMOST_NEVER
    assert p_of_uniform([draw % 25 for draw in draws], 25) > ALMOST_NEVER
    # A walk with equal chances at each node would be at a border 40 % of the time.
    border = np.isin(all_paths(12, 4)[draws], (0, 3)).mean()
    assert border == pytest.approx(np.isin(all_paths(12, 4), (0, 3)).mean(), abs=0.01)


def test_every_cell_is_as_likely_as_any_other():
    space, generator = (
        space_of(num_nodes=2, operations=("none", "skip_connect", "max_pool_3x3")),
        seeded(),
    )
    ops = space.operations[1:]
    cells = [
        tuple(
            tuple(CellEdge(source, op) for source, op in zip(pair, chosen, strict=True))
            for pair, chosen in zip(pairs, (choice[:2], choice[2:]), strict=True)
        )
        for pairs in itertools.product([(0, 1)], [(0, 1), (0, 2), (1, 2)])
        for choice in itertools.product(ops, repeat=4)
    ]
    assert len(set(cells)) == 48
    draws = [cells.index(sample_cell(space, generator)) for _ in range(48 * 40)]
    assert p_of_uniform(draws, 48) > ALMOST_NEVER


def test_none_is_never_drawn_and_every_other_operation_and_source_is():
    generator = seeded()
    ops, sources = Counter(), [Counter() for _ in range(5)]
    for _ in range(300):
        for node, edges in enumerate(sample_cell(SPACE, generator)):
            assert edges[0].source < edges[1].source
            ops.update(edge.op for edge in edges)
            sources[node].update(edge.source for edge in edges)
    assert set(ops) == set(SPACE.operations) - {"none"}
    assert [set(counter) for counter in sources] == [set(range(2 + node)) for node in range(5)]


def test_path_and_cell_are_independent():
    space, generator = (
        space_of(1, 2, num_nodes=1, operations=("skip_connect", "max_pool_3x3")),
        seeded(),
    )
    table = np.zeros((2, 4))
    for _ in range(800):
        architecture = sample_architecture(space, generator)
        ((first, second),) = architecture.cell
        column = 2 * (first.op == "max_pool_3x3") + (second.op == "max_pool_3x3")
        table[int(architecture.path == (8,)), column] += 1
    assert stats.chi2_contingency(table).pvalue > ALMOST_NEVER
    assert table.min() > 60


def test_the_seed_decides_and_the_value_is_the_spaces():
    first, again = (sample_architecture(SPACE, seeded(3)) for _ in range(2))
    assert first == again
    assert (first.space, first.strides, first.num_nodes) == ("autodeeplab", (4, 8, 16, 32), 5)
    generator = seeded(3)
    assert len({sample_architecture(SPACE, generator) for _ in range(20)}) == 20


def test_a_trellis_of_a_hundred_layers_is_sampled():
    space = space_of(100)
    assert space.num_paths() > 2**64
    generator = seeded()
    paths = [sample_path(space, generator) for _ in range(200)]
    assert len(set(paths)) == 200
    # Mirrored in the middle: far from both ends a level and its mirror are equally likely.
    middle = Counter(path[50] for path in paths)
    assert stats.binomtest(middle[4] + middle[8], 200).pvalue > ALMOST_NEVER
