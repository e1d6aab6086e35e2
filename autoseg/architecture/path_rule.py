"""What an edge of the trellis counts for when a path is decoded."""

import torch
from torch import Tensor

from autoseg.architecture.relaxation import check_beta, live_betas_on
from autoseg.architecture.space import SearchSpace
from autoseg.architecture.trellis import NUM_DIRECTIONS
from autoseg.config import BetaNorm, PathRule


def edge_scores(
    space: SearchSpace,
    beta: Tensor,
    *,
    beta_norm: BetaNorm = "paper",
    path_rule: PathRule = "paper",
) -> Tensor:
    """Score the edges of the trellis: the path whose scores sum highest is decoded.

    "paper" scores an edge by the logarithm of its weight, so that a path's score is its log
    probability. A node at the finest or the coarsest stride has two ways out, every other node has
    three. Without a search they weigh 1/2 and 1/3, and a path along a border is (3/2)^12 times as
    likely as one between them: an untrained beta decodes a border, and one that was trained little
    decodes it too.

    "unbiased" scores an edge against the others that leave its node, by the centred log-ratio

        log p(edge) - mean over the node's edges of log p  =  beta(edge) - mean of the node's betas.

    At uniform beta every edge scores 0 and all paths tie. A beta that is noise gives every edge the
    expected score 0, whatever the noise's size and the number of the node's edges; the score
    log p - log(1 / number of edges) does so only for small noise. And a factor on beta changes no
    decision, so that a path does not depend on how far beta was trained. Both normalisations of
    beta give the same scores, since they differ by one factor for all edges of a node.

    Args:
        space: The space whose trellis beta belongs to.
        beta: Logits, (num_layers, num_levels, 3), on any device.
        beta_norm: Normalisation of beta; "unbiased" does not depend on it.
        path_rule: "paper" or "unbiased".

    Returns:
        Scores, float64, on the CPU, of beta's shape; -inf where there is no edge.

    Raises:
        ValueError: If beta's shape is not the space's, a value is not finite, or a rule is unknown.

    Source: Auto-DeepLab, arXiv 1901.02985, section 4.3 ("paper"); Aitchison 1982, "The Statistical
    Analysis of Compositional Data", section 4 (the centred log-ratio).
    """
    if path_rule not in ("paper", "unbiased"):
        raise ValueError(f"unknown path rule {path_rule!r}: it is 'paper' or 'unbiased'.")
    if not bool(torch.isfinite(beta).all()):
        raise ValueError("beta holds a value that is not finite; the search has diverged.")
    check_beta(space, beta, rule=beta_norm)
    # float64 on the CPU: the decision must not depend on the device.
    beta = beta.to("cpu", torch.float64)
    live = live_betas_on(space, beta.device)
    num_edges = live.sum(dim=-1, keepdim=True).to(torch.float64)
    if path_rule == "paper":
        # Not the logarithm of `normalise_beta`: a weight that has underflowed to 0 no longer tells
        # two unlikely edges apart.
        scores = torch.log_softmax(torch.where(live, beta, torch.finfo(beta.dtype).min), dim=-1)
        if beta_norm == "two-thirds":
            scores = scores + torch.log(num_edges.clamp(min=1) / NUM_DIRECTIONS)
    else:
        # The largest is taken off first: equal betas then score exactly 0, whatever their value.
        largest = torch.where(live, beta, -torch.inf).amax(dim=-1, keepdim=True)
        relative = torch.where(live, beta - largest, 0)
        scores = relative - relative.sum(dim=-1, keepdim=True) / num_edges.clamp(min=1)
    return torch.where(live, scores, -torch.inf)
