"""The paths through the trellis from the best downwards.

Sources: Viterbi 1967 for the best path; Lawler 1972, "A Procedure for Computing the K Best
Solutions to Discrete Optimization Problems", for the others.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from autoseg.architecture.space import SearchSpace

_TIE = 1e-12
"""Scores closer than this are a tie; float64 sums of 12 logarithms round at 1e-14."""


class RankedPath(NamedTuple):
    """A path and what it scores."""

    path: tuple[int, ...]
    """The stride of each layer."""
    score: float
    """Sum of its edges' scores; under the paper's rule its log probability."""


def best_paths(space: SearchSpace, scores: Tensor) -> Iterator[RankedPath]:
    """Give every path through the trellis once, the highest score first.

    Of tied paths the one that takes the finer stride at the first layer where they part comes
    first. The first path costs one pass of the Viterbi algorithm. The others are then divided by
    the layer at which they leave it; the best of each part follows from the same pass, and the part
    that it heads is divided again once it has been given.

    Args:
        space: The space whose trellis it is.
        scores: Scores of the edges, (num_layers, num_levels, 3); see `edge_scores`.
    """
    lattice = _Lattice(space, scores)
    heap = [lattice.best_of(_Part((), frozenset()))]
    while heap:
        # All that tie with the best; the finest comes first.
        tied = [heapq.heappop(heap)]
        while heap and heap[0].cost <= tied[0].cost + _TIE:
            tied.append(heapq.heappop(heap))
        chosen = min(tied, key=lambda candidate: candidate.levels)
        for candidate in tied:
            if candidate is not chosen:
                heapq.heappush(heap, candidate)
        yield RankedPath(tuple(space.strides[i] for i in chosen.levels), -chosen.cost)
        for part in chosen.rest():
            if lattice.has_path(part):
                heapq.heappush(heap, lattice.best_of(part))


def count_best_paths(space: SearchSpace, scores: Tensor) -> int:
    """Count the paths that tie for the highest score; arguments as in `best_paths`."""
    lattice = _Lattice(space, scores)
    ways = [1] * space.num_levels
    for layer in reversed(range(space.num_layers)):
        ways = [
            sum(ways[target] for target in lattice.best_targets(layer, level))
            for level in range(space.num_levels)
        ]
    return ways[0]


def path_score(space: SearchSpace, scores: Tensor, path: Sequence[int]) -> Tensor:
    """Sum the scores of a path's edges; differentiable in the scores.

    Args:
        space: The space whose trellis it is.
        scores: Scores of the edges, (..., num_layers, num_levels, 3).
        path: The stride of each layer.

    Returns:
        The sums, (...).
    """
    levels = [space.strides.index(stride) for stride in path]
    steps = enumerate(pairwise([0, *levels]))
    entries = [(layer, before, after - before + 1) for layer, (before, after) in steps]
    layers, sources, directions = zip(*entries, strict=True)
    return scores[..., layers, sources, directions].sum(dim=-1)


class _Part(NamedTuple):
    """Some of the paths: those that begin with `prefix` and do not go on with a banned level."""

    prefix: tuple[int, ...]
    banned: frozenset[int]


class _Candidate(NamedTuple):
    """The best path of a part; the lowest cost is the first in a heap."""

    cost: float
    levels: tuple[int, ...]
    part: _Part

    def rest(self) -> Iterator[_Part]:
        """Divide the other paths of the part by the layer at which they leave this one."""
        prefix, banned = self.part
        for layer in range(len(prefix), len(self.levels)):
            yield _Part(self.levels[:layer], banned | {self.levels[layer]})
            banned = frozenset()


class _Lattice:
    """The trellis with the best score from each node to the end."""

    def __init__(self, space: SearchSpace, scores: Tensor) -> None:
        self.num_layers = space.num_layers
        self.scores: list[list[list[float]]] = scores.tolist()
        self._targets: dict[tuple[int, int], list[int]] = {}
        for edge in space.trellis():  # lists targets finest first
            self._targets.setdefault((edge.layer, edge.source_level), []).append(edge.target_level)
        # to_go[l][i]: best score from the node at level i before layer l to the end.
        self.to_go = [[-math.inf] * space.num_levels for _ in range(space.num_layers)]
        self.to_go.append([0.0] * space.num_levels)
        for layer, level in reversed(self._targets):
            self.to_go[layer][level] = max(self._through(layer, level).values())

    def best_targets(
        self, layer: int, level: int, banned: frozenset[int] = frozenset()
    ) -> list[int]:
        """List the levels to which the best ways lead on, finest first."""
        ways = self._through(layer, level)
        allowed = {target: score for target, score in ways.items() if target not in banned}
        best = max(allowed.values(), default=math.inf)
        return [target for target, score in allowed.items() if score >= best - _TIE]

    def has_path(self, part: _Part) -> bool:
        """Tell whether a part is not empty."""
        layer, level = len(part.prefix), (0, *part.prefix)[-1]
        return not part.banned.issuperset(self._targets[layer, level])

    def best_of(self, part: _Part) -> _Candidate:
        """Find the best path of a part."""
        levels, banned = [0, *part.prefix], part.banned
        for layer in range(len(part.prefix), self.num_layers):
            levels.append(self.best_targets(layer, levels[-1], banned)[0])
            banned = frozenset()
        # One exact sum for every path, however it was found: tied paths then cost the same.
        score = math.fsum(
            self.scores[layer][before][after - before + 1]
            for layer, (before, after) in enumerate(pairwise(levels))
        )
        return _Candidate(-score, tuple(levels[1:]), part)

    def _through(self, layer: int, level: int) -> dict[int, float]:
        """Return the best score from a node to the end through each of its targets."""
        row, to_go = self.scores[layer][level], self.to_go[layer + 1]
        targets = self._targets.get((layer, level), [])
        return {target: row[target - level + 1] + to_go[target] for target in targets}
