"""What can be counted of a supernet without training it, over all paths of the space."""

from collections import Counter
from statistics import fmean

from autoseg.architecture import NO_OPERATION, SearchSpace, path_of_rank

from .candidates import NUM_STRATA, stratum_bounds, stratum_of


def share_with_state0(space: SearchSpace) -> float:
    """Return the share of the layers of all paths in which a path of `Supernet` has a state 0.

    It is there where the path was at the same stride two layers before; the stem is at stride 4.
    """
    have = [
        layer >= 1 and path[layer - 1] == path[layer + 1]
        for path in ((space.strides[0], *path) for path in _paths(space))
        for layer in range(space.num_layers)
    ]
    return fmean(have)


def trainings_of_an_operation(space: SearchSpace, num_steps: int) -> list[float]:
    """Count how often an operation of a path is trained under uniform sampling of architectures.

    Args:
        space: What is sampled from.
        num_steps: Steps, each of one architecture.

    Returns:
        For each quarter of the paths, finest first, the expected number of steps that train the
        weights of an operation, on average over the layers and edges that the path's networks use.
    """
    paths = _paths(space)
    visits = Counter(place for path in paths for place in enumerate(path))
    num_operations = sum(op != NO_OPERATION for op in space.operations)
    # A node takes two of its sources, each edge one operation.
    edge_shares = [
        2 / len(space.predecessors(node))
        for node in range(space.num_nodes)
        for _ in space.predecessors(node)
    ]
    edge_share = sum(share**2 for share in edge_shares) / sum(edge_shares)
    bounds = stratum_bounds(space)
    strata: list[list[float]] = [[] for _ in range(NUM_STRATA)]
    for path in paths:
        visit_share = fmean(visits[place] / len(paths) for place in enumerate(path))
        strata[stratum_of(path, bounds)].append(visit_share)
    return [num_steps * fmean(shares) * edge_share / num_operations for shares in strata]


def _paths(space: SearchSpace) -> list[tuple[int, ...]]:
    return [path_of_rank(space, rank) for rank in range(space.num_paths())]
