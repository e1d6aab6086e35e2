"""The architectures of a cell space as options, and their mutations."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations

import torch

from autoseg.architecture import (
    NO_OPERATION,
    Cell,
    CellArchitecture,
    CellEdge,
    CellSpace,
    sample_cell_architecture,
)
from autoseg.architecture.cell import num_edges_before
from autoseg.proposers.domain import draw_below
from autoseg.proposers.limited import LimitedDomain


class CellDomain(LimitedDomain[CellArchitecture]):
    """All architectures of a cell space.

    The parameters are, for each node of both cells, the pair of its sources, and for both of its
    edges the place of the operation among those that the edge may have, "none" left out. Where an
    edge has fewer, places past its last one are read as its last.
    """

    def __init__(
        self,
        space: CellSpace,
        *,
        is_allowed: Callable[[CellArchitecture], bool] | None = None,
    ) -> None:
        """List the options; those that leave no choice are no parameters.

        Args:
            space: What may be chosen.
            is_allowed: Tells whether an architecture may be proposed; None allows all.
        """
        super().__init__(is_allowed)
        self.space = space
        self._operations = {
            "normal": _connecting(space.normal_operations),
            "reduction": _connecting(space.reduction_operations),
        }
        self._all_options: dict[str, tuple[str, ...]] = {}
        for cell, edges in self._operations.items():
            places = tuple(map(str, range(max(map(len, edges)))))
            for node in range(space.num_nodes):
                pairs = combinations(range(2 + node), 2)
                name = f"{cell}_node{node}"
                self._all_options |= {
                    f"{name}_sources": tuple(f"{first} {second}" for first, second in pairs),
                    f"{name}_first_op": places,
                    f"{name}_second_op": places,
                }
        self.options = {name: each for name, each in self._all_options.items() if len(each) > 1}

    def _sample(self, generator: torch.Generator) -> CellArchitecture:
        """Draw an architecture: `sample_cell_architecture`."""
        return sample_cell_architecture(self.space, generator)

    def _mutate(self, value: CellArchitecture, generator: torch.Generator) -> CellArchitecture:
        """Change one operation or one source, of either cell.

        Which of the two is drawn first, then one of the changes of its kind. An edge that gets
        another source keeps its operation where it may have it there, and else gets the first one.

        Source: Real et al. 2019, "Regularized Evolution for Image Classifier Architecture Search",
        arXiv 1802.01548, section 3.2.
        """
        kinds = [
            [change for cell in value.cells for change in changes(value, cell)]
            for changes in (self._with_other_operation, self._with_other_source)
        ]
        kinds = [changes for changes in kinds if changes]
        if not kinds:
            return value
        changes = kinds[draw_below(len(kinds), generator)]
        return changes[draw_below(len(changes), generator)]

    def encode(self, value: CellArchitecture) -> dict[str, str]:
        """Return the option of each parameter."""
        chosen = {}
        for cell, nodes in value.cells.items():
            for node, (first, second) in enumerate(nodes):
                name = f"{cell}_node{node}"
                chosen[f"{name}_sources"] = f"{first.source} {second.source}"
                for place, edge in (("first", first), ("second", second)):
                    names = self._names(cell, node, edge.source)
                    chosen[f"{name}_{place}_op"] = str(names.index(edge.op))
        return {name: chosen[name] for name in self.options}

    def features(self, value: CellArchitecture) -> list[float]:
        """Describe it by how often each cell has each operation, and from its inputs each node."""
        described: list[float] = []
        for cell, nodes in value.cells.items():
            edges = [edge for node in nodes for edge in node]
            names = sorted({name for edge in self._operations[cell] for name in edge})
            described += [sum(edge.op == name for edge in edges) for name in names]
            described += [sum(edge.source < 2 for edge in node) for node in nodes[1:]]
        return described

    def decode(self, chosen: Mapping[str, str]) -> CellArchitecture:
        """Return the architecture of any combination of options."""
        chosen = {name: options[0] for name, options in self._all_options.items()} | dict(chosen)

        def edge(cell: str, node: int, source: int, place: str) -> CellEdge:
            names = self._names(cell, node, source)
            index = int(chosen[f"{cell}_node{node}_{place}_op"])
            return CellEdge(source, names[min(index, len(names) - 1)])

        def read(cell: str) -> Cell:
            nodes = []
            for node in range(self.space.num_nodes):
                first, second = map(int, chosen[f"{cell}_node{node}_sources"].split())
                nodes.append((edge(cell, node, first, "first"), edge(cell, node, second, "second")))
            return tuple(nodes)

        return CellArchitecture(
            space=self.space.name,
            num_cells=self.space.retrain_num_cells,
            normal=read("normal"),
            reduction=read("reduction"),
        )

    def _names(self, cell: str, node: int, source: int) -> tuple[str, ...]:
        """Return the operations that an edge may have."""
        return self._operations[cell][num_edges_before(node) + source]

    def _with_other_operation(self, value: CellArchitecture, cell: str) -> list[CellArchitecture]:
        return [
            _with_edge(value, cell, node, place, edge._replace(op=op))
            for node, edges in enumerate(value.cells[cell])
            for place, edge in enumerate(edges)
            for op in self._names(cell, node, edge.source)
            if op != edge.op
        ]

    def _with_other_source(self, value: CellArchitecture, cell: str) -> list[CellArchitecture]:
        changed = []
        for node, edges in enumerate(value.cells[cell]):
            taken = {edge.source for edge in edges}
            for place, edge in enumerate(edges):
                for source in set(range(2 + node)) - taken:
                    names = self._names(cell, node, source)
                    op = edge.op if edge.op in names else names[0]
                    changed.append(_with_edge(value, cell, node, place, CellEdge(source, op)))
        return changed


def _connecting(edges: tuple[tuple[str, ...], ...]) -> list[tuple[str, ...]]:
    return [tuple(name for name in names if name != NO_OPERATION) for names in edges]


def _with_edge(
    value: CellArchitecture, cell: str, node: int, place: int, edge: CellEdge
) -> CellArchitecture:
    nodes = list(value.cells[cell])
    first, second = nodes[node]
    nodes[node] = (edge, second) if place == 0 else (first, edge)
    normal, reduction = (
        tuple(nodes) if name == cell else kept for name, kept in value.cells.items()
    )
    return replace(value, normal=normal, reduction=reduction)
