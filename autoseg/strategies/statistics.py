"""How decided a relaxed architecture is."""

import math

import torch
from torch import Tensor

from autoseg.architecture import (
    Architecture,
    BetaNorm,
    SearchSpace,
    live_betas,
    normalise_alpha,
    normalise_beta,
)


def alpha_entropy(alpha: Tensor) -> float:
    """Mean entropy of the edges' operations, over log(num_operations).

    Returns:
        In [0, 1]: 1 where every operation weighs the same, 0 where every edge has decided.
    """
    weights = normalise_alpha(alpha.detach().double())
    if weights.shape[1] == 1:
        return 0.0
    return float(torch.special.entr(weights).sum(1).mean() / math.log(weights.shape[1]))


def beta_entropy(space: SearchSpace, beta: Tensor, *, beta_norm: BetaNorm = "paper") -> float:
    """Mean entropy of where each node of the trellis leads, over log(number of its edges).

    Nodes with a single outgoing edge have nothing to decide and are left out.

    Returns:
        In [0, 1]; 0 if there is no node with a choice.
    """
    weights = normalise_beta(space, beta.detach().double(), rule=beta_norm)
    # Probabilities, whatever the normalisation.
    weights = weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-300)
    num_edges = live_betas(space).to(beta.device).sum(dim=-1)
    has_choice = num_edges > 1
    if not bool(has_choice.any()):
        return 0.0
    entropy = torch.special.entr(weights).sum(dim=-1)[has_choice]
    return float((entropy / num_edges[has_choice].double().log()).mean())


def skip_share(architecture: Architecture) -> float:
    """Share of skip connections among the cell's edges; near 1 the search has collapsed.

    Source: Zela et al. 2020, "Understanding and Robustifying DARTS", arXiv 1909.09656.
    """
    edges = [edge for node in architecture.cell for edge in node]
    return sum(edge.op == "skip_connect" for edge in edges) / len(edges)
