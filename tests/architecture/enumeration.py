"""Every path through the trellis, written out: slow, obvious, and the oracle of the tests.

Nothing here uses `autoseg`: moves and normalisation are written again from the paper.
"""

from functools import cache

import numpy as np


@cache
def all_paths(num_layers, num_levels):
    """List every path as levels, int64 (num_paths, num_layers), in lexicographic order."""
    paths = np.zeros((1, 1), dtype=np.int64)  # column 0 is the stem, at level 0
    for _ in range(num_layers):
        paths = np.repeat(paths, 3, axis=0)
        moves = np.tile([-1, 0, 1], len(paths) // 3)
        paths = np.column_stack([paths, paths[:, -1] + moves])
        paths = paths[(paths[:, -1] >= 0) & (paths[:, -1] < num_levels)]
    return paths[:, 1:]


@cache
def beta_indices(num_layers, num_levels):
    """Tell which entry of the flattened beta each step of each path takes; shape as `all_paths`."""
    paths = all_paths(num_layers, num_levels)
    before = np.column_stack([np.zeros(len(paths), dtype=np.int64), paths[:, :-1]])
    layers = np.arange(num_layers)
    return (layers * num_levels + before) * 3 + (paths - before + 1)


@cache
def _beta_indices_by_layer(num_layers, num_levels):
    """List `beta_indices` of one layer after another, which are added up sooner."""
    return tuple(np.ascontiguousarray(beta_indices(num_layers, num_levels).T))


def log_weights(beta, rule):
    """Normalise beta (num_layers, num_levels, 3) node by node; -inf where no edge can be."""
    num_layers, num_levels, _ = beta.shape
    result = np.full(beta.shape, -np.inf)
    for layer in range(num_layers):
        for level in range(num_levels):
            for k in range(3):
                if not 0 <= level + k - 1 < num_levels:
                    continue
                row = [beta[layer, level, j] for j in range(3) if 0 <= level + j - 1 < num_levels]
                result[layer, level, k] = beta[layer, level, k] - np.logaddexp.reduce(row)
                if rule == "two-thirds":
                    result[layer, level, k] += np.log(len(row) / 3)
    return result


def path_log_weights(beta, rule):
    """Sum the log weights along every path, float64 (num_paths,), in the order of `all_paths`."""
    num_layers, num_levels, _ = beta.shape
    table = log_weights(beta, rule).ravel()
    return sum(table.take(taken) for taken in _beta_indices_by_layer(num_layers, num_levels))
