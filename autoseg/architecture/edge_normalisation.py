"""Edge normalisation of PC-DARTS: how much of a node comes from each edge that leads to it.

Source: Xu et al. 2020, "PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture
Search", arXiv 1907.05737, section 3.3.
"""

import torch
from torch import Tensor

from autoseg.architecture.operations import NO_OPERATION
from autoseg.architecture.space import SearchSpace


def normalise_gamma(space: SearchSpace, gamma: Tensor) -> Tensor:
    """Turn gamma into the weights of the cell's edges.

    The paper calls gamma beta, which here is the trellis'.

    Args:
        space: The space whose cell it is of.
        gamma: Logits, (num_edges,), ordered by node, then by source.

    Returns:
        Softmax over the edges that lead to the same node (equation 4); the same shape.
    """
    by_node = gamma.split([len(space.predecessors(node)) for node in range(space.num_nodes)])
    return torch.cat([torch.softmax(edges, dim=0) for edges in by_node])


def fold_gamma(space: SearchSpace, alpha: Tensor, gamma: Tensor) -> Tensor:
    """Return the alpha that alone gives every operation the weight that alpha and gamma give it.

    The weight of an operation is the product of the edge's and its own. "none" takes what is left
    of 1: it is 0, whatever its weight. So one matrix of logits says all that is decoded or priced.

    Args:
        space: The space; "none" is one of its operations.
        alpha: Logits of the operations, (num_edges, num_operations).
        gamma: Logits of the edges, (num_edges,).

    Returns:
        Logits, (num_edges, num_operations), whose softmax is these weights.
    """
    shares = normalise_gamma(space, gamma).unsqueeze(1)
    weights = shares * torch.softmax(alpha, dim=1)
    none = space.operations.index(NO_OPERATION)
    is_none = torch.arange(len(space.operations), device=alpha.device) == none
    weights = torch.where(is_none, weights + (1 - shares), weights)
    return weights.clamp_min(torch.finfo(weights.dtype).tiny).log()
