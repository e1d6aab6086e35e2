"""From the continuous relaxation to one architecture.

Source: Auto-DeepLab, arXiv 1901.02985, section 4.3; DARTS, arXiv 1806.09055, section 2.4.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from autoseg.architecture.architecture import Architecture, CellEdge
from autoseg.architecture.operations import NO_OPERATION
from autoseg.architecture.relaxation import BetaNorm, normalise_alpha, normalise_beta
from autoseg.architecture.space import SearchSpace

_TIE = 1e-12
"""Log probabilities closer than this are a tie; float64 sums of 12 logarithms round at 1e-14."""


def decode(
    space: SearchSpace, alpha: Tensor, beta: Tensor, *, beta_norm: BetaNorm = "paper"
) -> Architecture:
    """Decode the most likely cell and the most likely path.

    Args:
        space: The space that was searched.
        alpha: Logits of the operations, (num_edges, num_operations).
        beta: Logits of the trellis edges, (num_layers, num_levels, 3).
        beta_norm: Normalisation of beta; see `normalise_beta`.

    Raises:
        ValueError: If a shape is not the space's, or a value is not finite.
    """
    return Architecture(
        space=space.name,
        strides=space.strides,
        path=decode_path(space, beta, beta_norm=beta_norm),
        cell=decode_cell(space, alpha),
    )


def decode_cell(space: SearchSpace, alpha: Tensor) -> tuple[tuple[CellEdge, CellEdge], ...]:
    """Keep each node's two strongest predecessors and their strongest operation.

    The strength of an edge is the largest weight among its operations other than "none", after the
    softmax over all of them. Ties go to the lower source, and to the operation listed first.

    Returns:
        For each node its two edges, ordered by source.

    Raises:
        ValueError: If alpha's shape is not the space's, or a value is not finite.
    """
    expected = (space.num_edges, len(space.operations))
    if tuple(alpha.shape) != expected:
        raise ValueError(f"alpha has shape {tuple(alpha.shape)}, but the space needs {expected}.")
    _require_finite("alpha", alpha)
    # float64 on the CPU: the decision must not depend on the device.
    weights = normalise_alpha(alpha.detach().to("cpu", torch.float64)).tolist()
    candidates = [i for i, op in enumerate(space.operations) if op != NO_OPERATION]
    cell = []
    for node in range(space.num_nodes):
        ranked = []
        for source in space.predecessors(node):
            row = weights[space.edge_index(source, node)]
            strongest = max(candidates, key=lambda index, row=row: row[index])
            ranked.append((-row[strongest], source, space.operations[strongest]))
        first, second = (CellEdge(source, op) for _, source, op in sorted(ranked)[:2])
        cell.append((first, second) if first.source < second.source else (second, first))
    return tuple(cell)


def decode_path(
    space: SearchSpace, beta: Tensor, *, beta_norm: BetaNorm = "paper"
) -> tuple[int, ...]:
    """Find the path with the largest product of edge weights, by the Viterbi algorithm.

    Works on sums of logarithms in float64. Of tied paths the one that takes the finer stride at the
    first layer where they part is returned.

    Returns:
        The stride of each layer.

    Raises:
        ValueError: If beta's shape is not the space's, or a value is not finite.
    """
    _require_finite("beta", beta)
    weights = normalise_beta(space, beta.detach().to("cpu", torch.float64), rule=beta_norm).tolist()
    # to_go[l][i]: log weight of the best way from the node at level i before layer l to the end.
    to_go: list[list[float]] = [[-math.inf] * space.num_levels for _ in range(space.num_layers)]
    to_go.append([0.0] * space.num_levels)
    for edge in reversed(space.trellis()):
        score = _log_weight(weights, edge) + to_go[edge.layer + 1][edge.target_level]
        here = to_go[edge.layer]
        here[edge.source_level] = max(here[edge.source_level], score)

    level, path = 0, []
    for layer in range(space.num_layers):
        # The trellis lists targets finest first, so the first edge within the tie wins.
        level = next(
            edge.target_level
            for edge in space.trellis()
            if (edge.layer, edge.source_level) == (layer, level)
            and _log_weight(weights, edge) + to_go[layer + 1][edge.target_level]
            >= to_go[layer][level] - _TIE
        )
        path.append(space.strides[level])
    return tuple(path)


def _require_finite(name: str, tensor: Tensor) -> None:
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} holds a value that is not finite; the search has diverged.")


def _log_weight(weights: Sequence, edge) -> float:
    weight = weights[edge.layer][edge.source_level][edge.direction]
    return math.log(weight) if weight > 0 else -math.inf
