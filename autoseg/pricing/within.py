"""The best architecture within a limit of cost, exactly.

An architecture scores the sum of its path's edge scores and of the logarithms of its operations'
weights: without a limit, the highest score is what `decode` returns. What it costs is a sum as
well, but each operation is paid for once in every layer, at a price that depends on the path. So
the paths are merged by how often they have a layer of each kind; then one cell is sought for each.

For a fixed path, the best cell under a limit is a knapsack with a choice for each node. Its
Lagrangian relaxation (Everett 1963, "Generalized Lagrange Multiplier Method for Solving Problems of
Optimum Allocation of Resources") bounds what any cell can score there, and gives cells that fit;
paths whose bound is not above the best that fits are left out, and for the others the choices of
the nodes are combined, a choice that is dearer and no better left out.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoseg.architecture import (
    Architecture,
    BetaNorm,
    Cell,
    CellEdge,
    PathRule,
    decode,
    edge_scores,
)
from autoseg.pricing.kept_edges import node_edges
from autoseg.pricing.prices import Prices
from autoseg.pricing.trellis_counts import (
    MergedPaths,
    cheapest_cells,
    edge_prices,
    leaders,
    merged_paths,
)

_NUM_BISECTIONS = 40
_LOG_MULTIPLIERS = (-10.0, 10.0)
"""Range of the multiplier's decimal logarithm, in nats for the whole limit."""
ROUNDING = 1e-9
"""Sums of some dozens of logarithms round at 1e-13."""


def decode_within(
    prices: Prices,
    alpha: Tensor,
    beta: Tensor,
    *,
    limit: int,
    beta_norm: BetaNorm = "paper",
    path_rule: PathRule = "paper",
) -> Architecture:
    """Decode the architecture with the highest score among those that cost at most so much.

    Args:
        prices: Prices of the space.
        alpha: Logits of the operations, (num_edges, num_operations).
        beta: Logits of the trellis edges, (num_layers, num_levels, 3).
        limit: The most that it may cost, in the unit of the prices.
        beta_norm: Normalisation of beta; see `normalise_beta`.
        path_rule: How a path's edges are scored; see `edge_scores`.

    Returns:
        What `decode` returns, if that fits. Of architectures that tie, always the same one.

    Raises:
        ValueError: As `decode` does, and if not even the cheapest architecture fits.
        UsageError: If the space is too deep to be searched exactly.
    """
    space = prices.space
    preferred = decode(space, alpha, beta, beta_norm=beta_norm, path_rule=path_rule)
    if prices.cost(preferred) <= limit:
        return preferred
    scores = edge_scores(space, beta.detach(), beta_norm=beta_norm, path_rule=path_rule).numpy()
    paths = merged_paths(prices, scores, limit=limit)
    log_weights = torch.log_softmax(alpha.detach().to("cpu", torch.float64), dim=-1)
    cells = _cells(prices, log_weights.numpy()[:, prices.candidates])
    paths = paths.where(paths.costs + cheapest_cells(prices, paths.counts) <= limit)
    if not len(paths):
        raise ValueError(
            f"decode_within: limit = {prices.written(limit)}, but the cheapest architecture of the "
            f"space costs {prices.written(prices.cost(cheapest(prices)))}."
        )
    paths, upper, incumbent = cells.bounds(paths, limit)
    incumbent -= ROUNDING  # so that what reaches it is found again
    best = None
    for index in np.argsort(-upper, kind="stable"):
        if upper[index] <= incumbent:
            break
        allowed, path_score = limit - int(paths.costs[index]), float(paths.scores[index])
        found = cells.best(paths.counts[index], allowed, above=incumbent - path_score)
        if found is not None:
            incumbent = found.score + path_score
            best = _architecture(prices, paths.levels[index], found.cell)
    assert best is not None and prices.cost(best) <= limit
    return best


def cheapest(prices: Prices) -> Architecture:
    """Find the cheapest architecture of the space; of equal ones always the same."""
    space = prices.space
    paths = merged_paths(prices, np.zeros((space.num_layers, space.num_levels, 3)))
    cell_costs = cheapest_cells(prices, paths.counts)
    index = int((paths.costs + cell_costs).argmin())
    cells = _cells(prices, np.zeros((space.num_edges, len(prices.candidates))))
    found = cells.best(paths.counts[index], int(cell_costs[index]), above=-np.inf)
    assert found is not None
    return _architecture(prices, paths.levels[index], found.cell)


class FoundCell(NamedTuple):
    """A cell, and the sum of its operations' scores."""

    score: float
    cell: Cell


class _Choices(NamedTuple):
    """Choices for the first nodes of a cell, none of them dearer and no better than another."""

    costs: NDArray[np.int64]
    scores: NDArray[np.float64]
    options: NDArray[np.int64]
    """For each node the number of its option, (choices, nodes)."""


class Cells:
    """All cells of a space, with what the operations of each edge score and cost."""

    def __init__(
        self,
        prices: NDArray[np.int64],
        log_weights: NDArray[np.float64],
        *,
        nodes: Sequence[Sequence[int]],
        operations: Sequence[Sequence[str]],
    ) -> None:
        """Take what can be chosen.

        Args:
            prices: Price of each operation in a layer of each kind, (edges, candidates, kinds).
            log_weights: The logarithm of its weight, (edges, candidates).
            nodes: The edges that lead to each node, by their sources.
            operations: Names of each edge's candidates.
        """
        self._log_weights = log_weights
        self._prices = prices
        self._nodes = nodes
        self._operations = operations

    def bounds(
        self, paths: MergedPaths, limit: int
    ) -> tuple[MergedPaths, NDArray[np.float64], float]:
        """Bound what an architecture along each path scores within the limit.

        The multiplier of each path is bisected: where its cell is too dear, it grows.

        Returns:
            The paths that may have the best one, no less than what each can score, and what one of
            them scores.
        """
        costs = np.tensordot(paths.counts, self._prices, axes=(1, 2)).astype(np.float64)
        allowed = (limit - paths.costs).astype(np.float64)
        upper, incumbent = np.full(len(paths), np.inf), -np.inf
        low, high = (np.full(len(paths), limit) for limit in _LOG_MULTIPLIERS)
        multiplier = np.zeros(len(paths))  # first without the limit
        for step in range(_NUM_BISECTIONS):
            cell_scores, cost = self._best_relaxed(costs, multiplier)
            scores, fits = paths.scores + cell_scores, cost <= allowed
            upper = np.minimum(upper, scores + multiplier * (allowed - cost))
            incumbent = max(incumbent, scores.max(where=fits, initial=-np.inf))
            if step > 0:
                middle = (low + high) / 2
                low, high = np.where(fits, low, middle), np.where(fits, middle, high)
            multiplier = 10 ** ((low + high) / 2) / limit
            kept = upper >= incumbent
            paths, costs, allowed = paths.where(kept), costs[kept], allowed[kept]
            upper, low, high, multiplier = upper[kept], low[kept], high[kept], multiplier[kept]
        return paths, upper, incumbent

    def _best_relaxed(
        self, costs: NDArray[np.float64], multiplier: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Find the cell with the highest score less multiplier times cost, for each path.

        Args:
            costs: What each operation costs, (paths, edges, candidates).
            multiplier: One a path, (paths,).

        Returns:
            The cell's score and its cost, (paths,) each.
        """
        values = self._log_weights - multiplier[:, None, None] * costs
        chosen = values.argmax(axis=2)[:, :, None]
        values = np.take_along_axis(values, chosen, axis=2)[:, :, 0]
        costs = np.take_along_axis(costs, chosen, axis=2)[:, :, 0]
        weights = np.broadcast_to(self._log_weights, (len(values), *self._log_weights.shape))
        scores = np.take_along_axis(weights, chosen, axis=2)[:, :, 0]
        total_score, total_cost = np.zeros(len(values)), np.zeros(len(values))
        for edges in self._nodes:
            kept = np.argsort(-values[:, edges], axis=1, kind="stable")[:, :2]
            total_score += np.take_along_axis(scores[:, edges], kept, axis=1).sum(axis=1)
            total_cost += np.take_along_axis(costs[:, edges], kept, axis=1).sum(axis=1)
        return total_score, total_cost

    def best(self, counts: NDArray[np.int64], allowed: int, *, above: float) -> FoundCell | None:
        """Find the cell with the highest score along a path.

        Args:
            counts: Layers of each kind, (kinds,).
            allowed: The most that all its operations may cost.
            above: What it has to exceed.

        Returns:
            The cell; None if none that exceeds it fits.
        """
        nodes = self._all_options(counts)
        # What the nodes behind each one cost at least, and score at most.
        least = np.cumsum([0, *(node.costs.min() for node in reversed(nodes))])[-2::-1]
        most = np.cumsum([0.0, *(node.scores.max() for node in reversed(nodes))])[-2::-1]
        choices = _Choices(np.zeros(1, np.int64), np.zeros(1), np.zeros((1, 0), np.int64))
        for node, least_after, most_after in zip(nodes, least, most, strict=True):
            choices = _combined(choices, node, allowed - int(least_after), above - most_after)
        if not len(choices.costs):
            return None
        last = int(choices.scores.argmax())
        cell = [
            self._edges(edges, option)
            for edges, option in zip(self._nodes, choices.options[last].tolist(), strict=True)
        ]
        return FoundCell(float(choices.scores[last]), tuple(cell))

    def least(self, counts: NDArray[np.int64]) -> int:
        """Return what all operations of the cheapest cell cost along a path."""
        return sum(int(node.costs.min()) for node in self._all_options(counts))

    def _all_options(self, counts: NDArray[np.int64]) -> list[_Choices]:
        costs = self._prices @ counts  # (edges, candidates)
        return [self._options(edges, costs) for edges in self._nodes]

    def _options(self, edges: Sequence[int], costs: NDArray[np.int64]) -> _Choices:
        """List what a node can keep: two edges with an operation each."""
        pairs = list(combinations(edges, 2))
        sums = [(costs[one][:, None] + costs[other]).ravel() for one, other in pairs]
        logs = self._log_weights
        scores = [(logs[one][:, None] + logs[other]).ravel() for one, other in pairs]
        numbers = np.arange(len(pairs) * logs.shape[1] ** 2)[:, None]
        return _undominated(_Choices(np.concatenate(sums), np.concatenate(scores), numbers))

    def _edges(self, edges: Sequence[int], option: int) -> tuple[CellEdge, CellEdge]:
        """Return the two edges that an option of `_options` stands for."""
        num_candidates = self._log_weights.shape[1]
        pair, chosen = divmod(option, num_candidates**2)
        first, second = list(combinations(range(len(edges)), 2))[pair]
        one, other = divmod(chosen, num_candidates)
        return (
            CellEdge(first, self._operations[edges[first]][one]),
            CellEdge(second, self._operations[edges[second]][other]),
        )


def _combined(choices: _Choices, node: _Choices, allowed: int, above: float) -> _Choices:
    """Combine each choice with each option of the next node, as far as it can still be the best."""
    costs = choices.costs[:, None] + node.costs
    scores = choices.scores[:, None] + node.scores
    before, option = np.nonzero((costs <= allowed) & (scores > above))
    return _undominated(
        _Choices(
            costs[before, option],
            scores[before, option],
            np.column_stack([choices.options[before], node.options[option]]),
        )
    )


def _undominated(choices: _Choices) -> _Choices:
    """Sort by cost, and keep what scores higher than everything that is no dearer."""
    if not len(choices.costs):
        return choices
    order = np.lexsort((-choices.scores, choices.costs))
    scores = choices.scores[order]
    kept = order[leaders(scores, np.zeros(len(order), np.int64))]
    return _Choices(choices.costs[kept], choices.scores[kept], choices.options[kept])


def _cells(prices: Prices, log_weights: NDArray[np.float64]) -> Cells:
    """Take the logarithm of each operation's weight, (num_edges, candidates)."""
    space = prices.space
    names = [space.operations[index] for index in prices.candidates]
    return Cells(
        edge_prices(prices),
        log_weights,
        nodes=node_edges(space.num_nodes),
        operations=[names] * space.num_edges,
    )


def _architecture(prices: Prices, levels: NDArray[np.int64], cell: Cell) -> Architecture:
    space = prices.space
    path = tuple(space.strides[level] for level in levels.tolist())
    return Architecture(space=space.name, strides=space.strides, path=path, cell=cell)
