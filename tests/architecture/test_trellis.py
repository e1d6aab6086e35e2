"""The trellis against all its paths, written out."""

import itertools

import numpy as np
import pytest

from autoseg.architecture.trellis import (
    STRIDES_RULE,
    TrellisEdge,
    are_trellis_strides,
    num_trellis_paths,
    trellis_edges,
)
from tests.architecture.enumeration import all_paths


def fibonacci(n):
    before, value = 0, 1
    for _ in range(n - 1):
        before, value = value, before + value
    return value


@pytest.mark.parametrize(("num_layers", "num_levels"), [(1, 4), (3, 2), (4, 3), (5, 4), (4, 5)])
def test_the_oracle_lists_the_paths_that_a_filter_over_all_sequences_keeps(num_layers, num_levels):
    expected = [
        levels
        for levels in itertools.product(range(num_levels), repeat=num_layers)
        if all(abs(b - a) <= 1 for a, b in itertools.pairwise((0, *levels)))
    ]
    assert [tuple(path) for path in all_paths(num_layers, num_levels).tolist()] == expected


@pytest.mark.parametrize("num_layers", [1, 2, 3, 5, 8, 12])
@pytest.mark.parametrize("num_levels", [1, 2, 3, 4, 5])
def test_the_transfer_matrix_counts_the_enumerated_paths(num_layers, num_levels):
    assert num_trellis_paths(num_layers, num_levels) == len(all_paths(num_layers, num_levels))


def test_published_numbers_of_paths():
    paths = all_paths(12, 4)
    assert num_trellis_paths(12, 4) == len(np.unique(paths, axis=0)) == 75_025
    # Pinned to stride 4 first, the paper's 2.9e4.
    assert np.count_nonzero(paths[:, 0] == 0) == num_trellis_paths(11, 4) == 28_657


@pytest.mark.parametrize("num_layers", range(1, 20))
def test_four_levels_are_counted_by_fibonacci_numbers(num_layers):
    # The eigenvalues of 4 levels' transfer matrix are 1 + 2 cos(k pi / 5): the golden ratio's.
    assert num_trellis_paths(num_layers, 4) == fibonacci(2 * num_layers + 1)


@pytest.mark.parametrize("num_layers", [1, 2, 3, 5, 8, 12])
@pytest.mark.parametrize("num_levels", [1, 2, 3, 4, 5])
def test_an_edge_is_live_if_and_only_if_a_path_takes_it(num_layers, num_levels):
    paths = all_paths(num_layers, num_levels)
    before = np.column_stack([np.zeros(len(paths), dtype=np.int64), paths[:, :-1]])
    taken = [
        (layer, *divmod(step, num_levels))
        for layer in range(num_layers)
        for step in np.unique(before[:, layer] * num_levels + paths[:, layer]).tolist()
    ]
    # np.unique sorts, so this is also the documented order: layer, source, target.
    assert list(trellis_edges(num_layers, num_levels)) == taken


@pytest.mark.parametrize(
    ("num_layers", "num_edges"), [(1, 2), (2, 7), (3, 15), (4, 25), (8, 65), (12, 105), (20, 185)]
)
def test_number_of_live_edges_at_four_levels(num_layers, num_edges):
    # 2, 5 and 8 before the first three layers, where not every stride is reached; then 10 a layer.
    assert len(trellis_edges(num_layers, 4)) == num_edges
    assert num_layers < 3 or num_edges == 10 * num_layers - 15


def test_direction_counts_from_finer_to_coarser():
    assert TrellisEdge(3, 2, 1).direction == 0
    assert TrellisEdge(3, 2, 2).direction == 1
    assert TrellisEdge(3, 2, 3).direction == 2


@pytest.mark.parametrize("strides", [(4,), (4, 8), [4, 8, 16], (4, 8, 16, 32), (4, 8, 16, 32, 64)])
def test_strides_that_double_from_four_are_right(strides):
    assert are_trellis_strides(strides)


@pytest.mark.parametrize("strides", [(), (8,), (8, 16), (4, 4), (4, 16), (8, 4), (4, 8, 12)])
def test_other_strides_are_wrong(strides):
    assert not are_trellis_strides(strides)


def test_the_rule_says_so():
    assert STRIDES_RULE == "they start at 4, the stride of the stem, and double from level to level"
