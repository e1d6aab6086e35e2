"""How decided a relaxed architecture is."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from autoseg.architecture.relaxation import (
    BetaNorm,
    live_betas,
    normalise_alpha,
    normalise_beta,
)
from autoseg.architecture.space import SearchSpace

NEAR_UNIFORM = 0.99
"""Normalised entropies above this are told. At 0.99 the weights of eight operations spread by a
fifth around 1/8; at the 1e-3 of a search's start the entropy is below 1 by 1e-7."""


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


def near_uniform(alpha: float, beta: float) -> str | None:
    """Say in words that a search has decided next to nothing.

    Args:
        alpha: `alpha_entropy` at its end.
        beta: `beta_entropy` at its end.

    Returns:
        A sentence with the numbers, the rule and what to do; None if both have moved.
    """
    return hardly_moved({"alpha": alpha, "beta": beta})


def hardly_moved(entropies: Mapping[str, float]) -> str | None:
    """Say which of some logits a search has hardly moved: `near_uniform` for any names."""
    still = [f"{name} ({value:.4f})" for name, value in entropies.items() if value > NEAR_UNIFORM]
    if not still:
        return None
    return (
        f"{' and '.join(still)} {'has' if len(still) == 1 else 'have'} hardly moved: the "
        f"normalised entropy is 1 without a search, and still above {NEAR_UNIFORM}. What was "
        "decoded from it is close to chance; search longer, and retrain architectures drawn at "
        "random beside it before you believe in it."
    )
