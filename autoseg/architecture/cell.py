"""A cell: for each node the two states that it reads, and by which operations."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from autoseg.architecture import limits
from autoseg.architecture.operations import OWN_REMEDY
from autoseg.foreign_text import shown


class CellEdge(NamedTuple):
    """An operation together with the state that it reads, so that the two cannot be swapped."""

    source: int
    """0: output of the cell before the previous; 1: of the previous cell; 2 and on: the nodes."""
    op: str
    """Name of the operation; see `autoseg.architecture.operations.OPERATIONS`."""


Cell = tuple[tuple[CellEdge, CellEdge], ...]
"""The two edges of each node, in the order of their sources."""


def checked_cell(
    cell: Sequence[Sequence[tuple[int, str]]], *, where: str, known: Callable[[], list[str]]
) -> Cell:
    """Return the cell in its one form, each node's edges ordered by their sources.

    Args:
        cell: For each node two pairs of source and operation.
        where: What the cell is called in messages: "architecture: cell".
        known: Lists the operations that an edge may have.

    Raises:
        ValueError: If there is no node, or too many, or an edge that cannot be.
    """
    if not cell:
        raise ValueError(f"{where} is empty, but it needs at least one node.")
    if len(cell) > limits.MAX_NODES:
        raise ValueError(
            f"{where} has {len(cell):,} nodes, but at most {limits.MAX_NODES} are allowed."
        )
    names = known()
    for node, edges in enumerate(cell):
        if len(edges) != 2:
            raise ValueError(f"{where}[{node}] has {len(edges)} edges, but a node has exactly 2.")
        for source, op in edges:
            if type(source) is not int or not 0 <= source < 2 + node:
                raise ValueError(
                    f"{where}[{node}] reads source {shown(source)}, but node {node} may read 0 to "
                    f"{node + 1} (0, 1: the earlier cells; 2 and on: the nodes before it)."
                )
            if not isinstance(op, str) or op not in names:
                raise ValueError(
                    f"{where}[{node}] has operation {shown(op)}, but it must be one of "
                    f"{', '.join(names)}. {OWN_REMEDY}"
                )
    nodes = (sorted(CellEdge(*edge) for edge in edges) for edges in cell)
    return tuple((first, second) for first, second in nodes)


def num_edges_before(node: int) -> int:
    """Count the edges that lead to nodes before this one: node b has 2 + b predecessors.

    Edges are ordered by node, then by source (DARTS' order), so that the edge from `source` to
    `node` is number `num_edges_before(node) + source`.
    """
    return sum(2 + earlier for earlier in range(node))


def cell_to_json(cell: Cell) -> list[list[dict[str, Any]]]:
    """Return the cell as plain values that JSON can hold."""
    return [[{"source": edge.source, "op": edge.op} for edge in node] for node in cell]


def cell_from_json(value: Any, *, where: str, known: Callable[[], list[str]]) -> Cell:
    """Read what `cell_to_json` returned.

    Raises:
        ValueError: If it is no list of nodes with their edges, or as `checked_cell` says.
    """
    if not isinstance(value, list):
        raise ValueError(f"{where} = {shown(value)}, but it must be a list of nodes.")
    nodes = []
    for node, edges in enumerate(value):
        if not isinstance(edges, list) or not all(
            isinstance(edge, dict) and set(edge) == {"source", "op"} for edge in edges
        ):
            raise ValueError(
                f"{where}[{node}] = {shown(edges)}, but it must be a list of two edges "
                'like {"source": 0, "op": "sep_conv_3x3"}.'
            )
        nodes.append([(edge["source"], edge["op"]) for edge in edges])
    return checked_cell(nodes, where=where, known=known)


def spell_cell(cell: Cell) -> list[str]:
    """Write each node as the sum of its edges, a line each."""
    names = ["previous-previous cell", "previous cell"]
    names += [f"node {node}" for node in range(len(cell))]
    return [
        f"node {node} = " + " + ".join(f"{edge.op}({names[edge.source]})" for edge in edges)
        for node, edges in enumerate(cell)
    ]
