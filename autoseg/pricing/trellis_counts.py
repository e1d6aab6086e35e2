"""All paths through a trellis, merged where no cell can tell their costs apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoseg.errors import UsageError
from autoseg.pricing.kept_edges import node_edges
from autoseg.pricing.prices import Prices

_MAX_LABELS = 1_000_000
"""Merged paths at which a space is called too deep to be searched exactly."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MergedPaths:
    """Paths, of which each is the best for its counts at its price.

    What the operations of a cell cost along a path depends on how often the path has a layer of
    each kind: at this stride, with inputs halved or not. Of two paths with the same counts, the one
    that is dearer and no better is of no use, whatever the cell.
    """

    counts: NDArray[np.int64]
    """Layers of each kind, (paths, 2 * levels): entry 2 * level + whether inputs are halved."""
    costs: NDArray[np.int64]
    """All that a network along the path costs but its cells' operations, (paths,)."""
    scores: NDArray[np.float64]
    """Sum of the scores of its edges, (paths,)."""
    levels: NDArray[np.int64]
    """The level of each layer, (paths, num_layers)."""

    def __len__(self) -> int:
        return len(self.costs)

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "MergedPaths":
        """Return those that an index array or a mask chooses."""
        return MergedPaths(
            counts=self.counts[chosen],
            costs=self.costs[chosen],
            scores=self.scores[chosen],
            levels=self.levels[chosen],
        )


def merged_paths(
    prices: Prices, scores: NDArray[np.float64], *, limit: int | None = None
) -> MergedPaths:
    """Walk the trellis layer by layer, and merge what leads to the same last two levels.

    Args:
        prices: Prices of the space.
        scores: Scores of the edges, (num_layers, num_levels, 3).
        limit: Drop paths with which no cell stays within this; None keeps all.

    Raises:
        UsageError: If the space is too deep to be searched exactly.
    """
    space = prices.space
    inputs, head = prices.inputs.numpy(), prices.head.numpy()
    low_level = prices.low_level.numpy()
    # In each layer by itself: no cell can cost less, whatever it is.
    cheapest = cheapest_cells(prices, np.eye(2 * space.num_levels, dtype=np.int64))
    start = MergedPaths(
        counts=np.zeros((1, 2 * space.num_levels), np.int64),
        costs=np.array([prices.fixed]),
        scores=np.zeros(1),
        levels=np.zeros((1, 0), np.int64),
    )
    # By the levels of the last two layers; the stem is at level 0.
    ends: dict[tuple[int, int], MergedPaths] = {(0, 0): start}
    for layer in range(space.num_layers):
        arriving: dict[tuple[int, int], list[MergedPaths]] = {}
        for edge in space.trellis():
            if edge.layer != layer:
                continue
            before, level = edge.source_level, edge.target_level
            for (two_before, last), paths in ends.items():
                if last != before:
                    continue
                more = inputs[layer, two_before, before, level]
                more += low_level[level] if layer == prices.low_level_layer else 0
                more += head[level] if layer == space.num_layers - 1 else 0
                counts = paths.counts.copy()
                counts[:, 2 * level + int(level > before)] += 1
                longer = MergedPaths(
                    counts=counts,
                    costs=paths.costs + more,
                    scores=paths.scores + scores[layer, before, edge.direction],
                    levels=np.column_stack([paths.levels, np.full(len(paths), level)]),
                )
                if limit is not None:
                    longer = longer.where(longer.costs + counts @ cheapest <= limit)
                arriving.setdefault((before, level), []).append(longer)
        ends = {end: _merge(parts) for end, parts in arriving.items()}
        if sum(map(len, ends.values())) > _MAX_LABELS:
            raise UsageError(
                f"space {space.name} has too many paths of {space.num_layers} layers to find the "
                "best one within a limit of cost exactly; use fewer layers, or a penalty: "
                "--macs-weight and --macs-target, or --latency-weight and --latency-target."
            )
    return _merge(list(ends.values()))


def cheapest_cells(prices: Prices, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what the operations of the cheapest cell cost along paths.

    Args:
        prices: Prices of the space.
        counts: Layers of each kind, (paths, 2 * levels).

    Returns:
        The cost, (paths,).
    """
    space = prices.space
    operations = np.tensordot(counts, edge_prices(prices), axes=(1, 2))
    cheapest_edges = operations.min(axis=2)  # (paths, edges)
    total = np.zeros(len(counts), np.int64)
    for edges in node_edges(space.num_nodes):
        total += np.sort(cheapest_edges[:, edges], axis=1)[:, :2].sum(axis=1)
    return total


def edge_prices(prices: Prices) -> NDArray[np.int64]:
    """Return what an operation on an edge costs in a layer of each kind.

    Returns:
        (num_edges, operations other than "none", 2 * levels).
    """
    space, table = prices.space, prices.operations.numpy()[:, :, prices.candidates]
    on_nodes = np.repeat(table[:, :1], 2, axis=1)  # a node is at the cell's stride already
    rows = [
        table if source < 2 else on_nodes
        for node in range(space.num_nodes)
        for source in space.predecessors(node)
    ]
    by_kind = np.stack(rows).reshape(len(rows), 2 * space.num_levels, -1)
    return by_kind.transpose(0, 2, 1)


def _merge(parts: list[MergedPaths]) -> MergedPaths:
    """Join paths, and keep those that are better than all cheaper ones with the same counts."""
    paths = MergedPaths(
        counts=np.concatenate([part.counts for part in parts]),
        costs=np.concatenate([part.costs for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        levels=np.concatenate([part.levels for part in parts]),
    )
    if not len(paths):
        return paths
    paths = paths.where(np.lexsort((-paths.scores, paths.costs, *paths.counts.T)))
    is_new = np.ones(len(paths), bool)
    is_new[1:] = (paths.counts[1:] != paths.counts[:-1]).any(axis=1)
    return paths.where(leaders(paths.scores, np.cumsum(is_new)))


def leaders(scores: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark what scores higher than everything before it in its group.

    Args:
        scores: In the order in which they are compared.
        groups: The group of each, which never decreases.
    """
    _, ranks = np.unique(scores, return_inverse=True)
    keys = groups * (len(scores) + 1) + ranks  # a later group is above all earlier ones
    before = np.concatenate([[-1], np.maximum.accumulate(keys)[:-1]])
    return keys > before
