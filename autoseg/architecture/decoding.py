"""From the continuous relaxation to one architecture.

Source: Auto-DeepLab, arXiv 1901.02985, section 4.3; DARTS, arXiv 1806.09055, section 2.4.
"""

from collections.abc import Sequence
from itertools import count, islice

import torch
from torch import Tensor

from autoseg.architecture.architecture import Architecture
from autoseg.architecture.best_paths import best_paths
from autoseg.architecture.cell import Cell, CellEdge
from autoseg.architecture.operations import NO_OPERATION
from autoseg.architecture.path_rule import PathRule, edge_scores
from autoseg.architecture.relaxation import BetaNorm, normalise_alpha
from autoseg.architecture.space import SearchSpace


def decode(
    space: SearchSpace,
    alpha: Tensor,
    beta: Tensor,
    *,
    beta_norm: BetaNorm = "paper",
    path_rule: PathRule = "paper",
) -> Architecture:
    """Decode the most likely cell and the best path.

    Args:
        space: The space that was searched.
        alpha: Logits of the operations, (num_edges, num_operations).
        beta: Logits of the trellis edges, (num_layers, num_levels, 3).
        beta_norm: Normalisation of beta; see `normalise_beta`.
        path_rule: "paper", the most likely path, or "unbiased", which does not favour the finest
            and the coarsest stride; see `edge_scores`.

    Raises:
        ValueError: If a shape is not the space's, a value is not finite, or a rule is unknown.
    """
    return Architecture(
        space=space.name,
        strides=space.strides,
        path=decode_path(space, beta, beta_norm=beta_norm, path_rule=path_rule),
        cell=decode_cell(space, alpha),
    )


def decode_cell(space: SearchSpace, alpha: Tensor) -> Cell:
    """Keep each node's two strongest predecessors and their strongest operation: `kept_edges`."""
    return kept_edges(alpha, (space.operations,) * space.num_edges, name="alpha")


def kept_edges(alpha: Tensor, operations: Sequence[Sequence[str]], *, name: str) -> Cell:
    """Keep each node's two strongest predecessors and their strongest operation.

    The strength of an edge is the largest weight among its operations other than "none", after the
    softmax over all of them. Ties go to the lower source, and to the operation listed first.

    Args:
        alpha: Logits, (num_edges, operations of an edge), edges ordered by node, then by source.
        operations: Candidates of each edge, in the order of its columns.
        name: What alpha is called in messages.

    Returns:
        For each node its two edges, ordered by source.

    Raises:
        ValueError: If alpha's shape is not the space's, or a value is not finite.
    """
    expected = (len(operations), len(operations[0]))
    if tuple(alpha.shape) != expected:
        raise ValueError(f"{name} has shape {tuple(alpha.shape)}, but the space needs {expected}.")
    _require_finite(name, alpha)
    # float64 on the CPU: the decision must not depend on the device.
    weights = normalise_alpha(alpha.detach().to("cpu", torch.float64)).tolist()
    cell, remaining = [], iter(zip(weights, operations, strict=True))
    for node in count():
        edges = list(islice(remaining, 2 + node))
        if not edges:
            return tuple(cell)
        ranked = []
        for source, (row, names) in enumerate(edges):
            candidates = [index for index, op in enumerate(names) if op != NO_OPERATION]
            strongest = max(candidates, key=lambda index, row=row: row[index])
            ranked.append((-row[strongest], source, names[strongest]))
        first, second = (CellEdge(source, op) for _, source, op in sorted(ranked)[:2])
        cell.append((first, second) if first.source < second.source else (second, first))
    raise AssertionError("count() has no end")


def decode_path(
    space: SearchSpace,
    beta: Tensor,
    *,
    beta_norm: BetaNorm = "paper",
    path_rule: PathRule = "paper",
) -> tuple[int, ...]:
    """Find the path whose edges' scores have the largest sum, by the Viterbi algorithm.

    Under the paper's rule that is the largest product of edge weights. Works on sums of logarithms
    in float64. Of tied paths the one that takes the finer stride at the first layer where they part
    is returned.

    Returns:
        The stride of each layer.

    Raises:
        ValueError: If beta's shape is not the space's, a value is not finite, or a rule is unknown.
    """
    scores = edge_scores(space, beta.detach(), beta_norm=beta_norm, path_rule=path_rule)
    return next(best_paths(space, scores)).path


def _require_finite(name: str, tensor: Tensor) -> None:
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} holds a value that is not finite; the search has diverged.")
