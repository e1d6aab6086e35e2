"""The architectures of a search space as options, and their mutations."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import torch

from autoseg.architecture import (
    NO_OPERATION,
    Architecture,
    CellEdge,
    SearchSpace,
    sample_architecture,
)
from autoseg.proposers.domain import draw_below
from autoseg.proposers.limited import LimitedDomain

Cell = tuple[tuple[CellEdge, CellEdge], ...]
"""The two edges of each node."""


class ArchitectureDomain(LimitedDomain[Architecture]):
    """All architectures of a space.

    The parameters are the stride of each layer, and for each node the pair of its sources and the
    operation on each of the two. Pairs and operations are valid in every combination. A stride that
    is more than one level away from the layer before it is read as the nearest one that is not.
    """

    def __init__(
        self, space: SearchSpace, *, is_allowed: Callable[[Architecture], bool] | None = None
    ) -> None:
        """List the options; those that leave no choice are no parameters.

        Args:
            space: What may be chosen.
            is_allowed: Tells whether an architecture may be proposed; None allows all.
        """
        super().__init__(is_allowed)
        self.space = space
        self._operations = tuple(op for op in space.operations if op != NO_OPERATION)
        strides = {
            f"layer{layer}_stride": tuple(map(str, space.strides[: layer + 2]))
            for layer in range(space.num_layers)
        }
        nodes = {
            name: options
            for node in range(space.num_nodes)
            for name, options in {
                f"node{node}_sources": tuple(
                    f"{first} {second}"
                    for first, second in combinations(space.predecessors(node), 2)
                ),
                f"node{node}_first_op": self._operations,
                f"node{node}_second_op": self._operations,
            }.items()
        }
        self._all_options = strides | nodes
        self.options = {name: each for name, each in self._all_options.items() if len(each) > 1}

    def _sample(self, generator: torch.Generator) -> Architecture:
        """Draw an architecture: `sample_architecture`."""
        return sample_architecture(self.space, generator)

    def _mutate(self, value: Architecture, generator: torch.Generator) -> Architecture:
        """Change one operation, one source or one layer's stride.

        Which of the three is drawn first, then one of the changes of its kind.

        Source: Real et al. 2019, "Regularized Evolution for Image Classifier Architecture Search",
        arXiv 1802.01548, section 3.2, whose hidden-state and op mutations are those of the cell;
        the path has no counterpart there.
        """
        cells, path = value.cell, value.path
        kinds: list[list[dict[str, Any]]] = [
            [{"cell": cell} for cell in _with_other_operation(cells, self._operations)],
            [{"cell": cell} for cell in _with_other_source(cells)],
            [{"path": other} for other in _with_other_stride(path, value.strides)],
        ]
        kinds = [changes for changes in kinds if changes]
        if not kinds:
            return value
        changes = kinds[draw_below(len(kinds), generator)]
        return replace(value, **changes[draw_below(len(changes), generator)])

    def encode(self, value: Architecture) -> dict[str, str]:
        """Return the option of each parameter."""
        chosen = {f"layer{layer}_stride": str(stride) for layer, stride in enumerate(value.path)}
        for node, (first, second) in enumerate(value.cell):
            chosen[f"node{node}_sources"] = f"{first.source} {second.source}"
            chosen[f"node{node}_first_op"] = first.op
            chosen[f"node{node}_second_op"] = second.op
        return {name: chosen[name] for name in self.options}

    def features(self, value: Architecture) -> list[float]:
        """Describe it by the level of each layer (0 at the first stride), the mean of the levels'
        squares, the number of levels between layers, and how often the cell has each operation."""
        levels = [value.strides.index(stride) for stride in value.path]
        moves = sum(abs(after - before) for before, after in pairwise((0, *levels)))
        ops = [edge.op for node in value.cell for edge in node]
        squares = sum(level**2 for level in levels) / len(levels)
        return [*map(float, levels), squares, moves, *(ops.count(op) for op in self._operations)]

    def decode(self, chosen: Mapping[str, str]) -> Architecture:
        """Return the architecture of any combination of options."""
        chosen = {name: options[0] for name, options in self._all_options.items()} | dict(chosen)
        level, path = 0, []
        for layer in range(self.space.num_layers):
            asked = self.space.strides.index(int(chosen[f"layer{layer}_stride"]))
            level = min(max(asked, level - 1), level + 1)
            path.append(self.space.strides[level])
        cell = []
        for node in range(self.space.num_nodes):
            sources = map(int, chosen[f"node{node}_sources"].split())
            ops = (chosen[f"node{node}_first_op"], chosen[f"node{node}_second_op"])
            first, second = map(CellEdge, sources, ops)
            cell.append((first, second))
        return Architecture(
            space=self.space.name, strides=self.space.strides, path=tuple(path), cell=tuple(cell)
        )


def _with_other_operation(cell: Cell, operations: tuple[str, ...]) -> list[Cell]:
    return [
        _with_edge(cell, node, place, edge._replace(op=op))
        for node, edges in enumerate(cell)
        for place, edge in enumerate(edges)
        for op in operations
        if op != edge.op
    ]


def _with_other_source(cell: Cell) -> list[Cell]:
    return [
        _with_edge(cell, node, place, edge._replace(source=source))
        for node, edges in enumerate(cell)
        for place, edge in enumerate(edges)
        for source in range(2 + node)
        if source not in {each.source for each in edges}
    ]


def _with_edge(cell: Cell, node: int, place: int, edge: CellEdge) -> Cell:
    first, second = cell[node]
    edges = (edge, second) if place == 0 else (first, edge)
    return (*cell[:node], edges, *cell[node + 1 :])


def _with_other_stride(path: tuple[int, ...], strides: tuple[int, ...]) -> list[tuple[int, ...]]:
    levels = [strides.index(stride) for stride in path]
    paths = []
    for layer, level in enumerate(levels):
        # The stem ends at level 0.
        neighbours = [levels[layer - 1] if layer else 0, *levels[layer + 1 : layer + 2]]
        for other, stride in enumerate(strides):
            if other != level and all(abs(other - neighbour) <= 1 for neighbour in neighbours):
                paths.append((*path[:layer], stride, *path[layer + 1 :]))
    return paths
