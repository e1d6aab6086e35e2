"""From logits to weights: the normalisations of alpha and beta, one definition each."""

from functools import cache

import torch
from torch import Tensor

from autoseg.architecture.space import SearchSpace
from autoseg.architecture.trellis import NUM_DIRECTIONS
from autoseg.config import BetaNorm

ARCH_INIT_STD = 1e-3
"""Standard deviation of alpha and beta at the start of a search (Auto-DeepLab, section 5.1)."""


def normalise_alpha(alpha: Tensor) -> Tensor:
    """Turn alpha into the weights of the operations of each edge.

    Args:
        alpha: Logits, (num_edges, num_operations).

    Returns:
        Softmax over the operations, "none" included; the same shape.

    Source: Auto-DeepLab, arXiv 1901.02985, equations 2 and 3.
    """
    return torch.softmax(alpha, dim=-1)


def live_betas(space: SearchSpace) -> Tensor:
    """Mark the entries of beta that belong to an edge of the trellis.

    Returns:
        bool, (num_layers, num_levels, 3).
    """
    live = torch.zeros(space.num_layers, space.num_levels, NUM_DIRECTIONS, dtype=torch.bool)
    for edge in space.trellis():
        live[edge.layer, edge.source_level, edge.direction] = True
    return live


@cache
def live_betas_on(space: SearchSpace, device: torch.device) -> Tensor:
    """Keep `live_betas` on the device: a search step that copies nothing can be captured."""
    with torch.inference_mode(False):  # else it could not take part in a later training step
        return live_betas(space).to(device)


def check_beta(space: SearchSpace, beta: Tensor, *, rule: BetaNorm) -> None:
    """Raise ValueError if beta's shape is not the space's, or the normalisation is unknown."""
    expected = (space.num_layers, space.num_levels, NUM_DIRECTIONS)
    if tuple(beta.shape) != expected:
        raise ValueError(f"beta has shape {tuple(beta.shape)}, but the space needs {expected}.")
    if rule not in ("paper", "two-thirds"):
        raise ValueError(f"unknown beta normalisation {rule!r}: it is 'paper' or 'two-thirds'.")


def normalise_beta(space: SearchSpace, beta: Tensor, *, rule: BetaNorm = "paper") -> Tensor:
    """Turn beta into the weights of the edges between strides.

    Args:
        space: The space whose trellis beta belongs to.
        beta: Logits, (num_layers, num_levels, 3); `beta[l, i, k]` belongs to the edge that leaves
            the node at level i before layer l, to level i - 1, i, i + 1 for k = 0, 1, 2.
        rule: "paper": softmax over the edges that leave a node, so that they sum to 1 (equation 6).
            "two-thirds": as public re-implementations do, the same times (edges that leave the
            node) / 3, so that an edge at the finest or coarsest stride weighs no more than one
            elsewhere.

    Returns:
        Weights of the same shape; 0 where no edge is, whatever beta holds there.

    Raises:
        ValueError: If beta's shape is not the space's, or the rule is unknown.

    Source: Auto-DeepLab, arXiv 1901.02985, equation 6.
    """
    check_beta(space, beta, rule=rule)
    live = live_betas_on(space, beta.device)
    # A large negative number, not -inf: rows without any live edge would become NaN. The product
    # with `live` makes dead entries, and their gradients, exactly 0.
    lowest = torch.finfo(beta.dtype).min
    weights = torch.softmax(torch.where(live, beta, lowest), dim=-1) * live
    if rule == "two-thirds":
        # In beta's dtype: a quotient of whole numbers is float32 and would break float64's ties.
        weights = weights * (live.sum(dim=-1, keepdim=True).to(beta.dtype) / NUM_DIRECTIONS)
    return weights
