"""Architectures drawn at random: the baseline of every search."""

from collections.abc import Sequence
from functools import cache
from itertools import combinations

import torch

from autoseg.architecture.architecture import Architecture
from autoseg.architecture.cell import Cell, CellEdge, num_edges_before
from autoseg.architecture.operations import NO_OPERATION
from autoseg.architecture.space import SearchSpace


def sample_architecture(space: SearchSpace, generator: torch.Generator) -> Architecture:
    """Draw one of the space's architectures, each with the same probability.

    Path and cell are independent. Every path through the trellis is as likely as any other, so that
    a layer is at a stride as often as paths lead there; walking with equal chances at each node
    would favour paths along the finest and the coarsest stride. Each node of the cell gets two
    different sources and, on each edge, an operation other than "none".

    Args:
        space: What may be chosen.
        generator: On the CPU; decides everything.
    """
    return Architecture(
        space=space.name,
        strides=space.strides,
        path=sample_path(space, generator),
        cell=sample_cell(space, generator),
    )


def sample_path(space: SearchSpace, generator: torch.Generator) -> tuple[int, ...]:
    """Draw a path, each with the same probability; returns the stride of each layer."""
    num_paths = _ways_to_the_end(space.num_layers, space.num_levels)[0][0]
    return path_of_rank(space, _draw_below(num_paths, generator))


def sample_cell(space: SearchSpace, generator: torch.Generator) -> Cell:
    """Draw a cell, each with the same probability; returns the two edges of each node."""
    return random_cell((space.operations,) * space.num_edges, space.num_nodes, generator)


def random_cell(
    operations: Sequence[Sequence[str]], num_nodes: int, generator: torch.Generator
) -> Cell:
    """Draw two sources for each node, and an operation other than "none" for both edges.

    Args:
        operations: Candidates of each edge, ordered by node, then by source.
        num_nodes: Nodes of the cell.
        generator: On the CPU; decides everything.
    """

    def edge(source: int, node: int) -> CellEdge:
        names = operations[num_edges_before(node) + source]
        connecting = [op for op in names if op != NO_OPERATION]
        return CellEdge(source, connecting[_draw_below(len(connecting), generator)])

    cell = []
    for node in range(num_nodes):
        pairs = list(combinations(range(2 + node), 2))
        first, second = pairs[_draw_below(len(pairs), generator)]
        cell.append((edge(first, node), edge(second, node)))
    return tuple(cell)


def path_of_rank(space: SearchSpace, rank: int) -> tuple[int, ...]:
    """Return a path by its place among all of them, ordered by their strides, finest first.

    Args:
        space: The space whose trellis it is.
        rank: In [0, space.num_paths()).

    Raises:
        ValueError: If there are not so many paths.
    """
    ways = _ways_to_the_end(space.num_layers, space.num_levels)
    if not 0 <= rank < ways[0][0]:
        raise ValueError(
            f"path_of_rank: rank {rank}, but the space has {ways[0][0]} paths, numbered from 0."
        )
    level, path = 0, []
    for layer in range(space.num_layers):
        for target in (level - 1, level, level + 1):
            num_ways = ways[layer + 1][target] if 0 <= target < space.num_levels else 0
            if rank < num_ways:
                break
            rank -= num_ways
        level = target
        path.append(space.strides[level])
    return tuple(path)


@cache
def _ways_to_the_end(num_layers: int, num_levels: int) -> tuple[tuple[int, ...], ...]:
    """Count the ways from the node at level i before layer l to the end, entry [l][i]."""
    ways = [(1,) * num_levels]
    for _ in range(num_layers):
        after = (0, *ways[-1], 0)
        ways.append(tuple(sum(after[level : level + 3]) for level in range(num_levels)))
    return tuple(reversed(ways))


def _draw_below(limit: int, generator: torch.Generator) -> int:
    """Draw from 0 to limit - 1, each with exactly the same probability, however large the limit."""
    num_bits = (limit - 1).bit_length()
    while True:
        # Of so many random bits more than half of the numbers are below the limit.
        number = 0
        for _ in range(0, num_bits, 32):
            number = number << 32 | int(torch.randint(1 << 32, (), generator=generator))
        number >>= -num_bits % 32
        if number < limit:
            return number
