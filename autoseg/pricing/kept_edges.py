"""How likely each operation is to be kept, where two edges of each node are."""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from autoseg.architecture.cell import num_edges_before


def node_edges(num_nodes: int) -> list[list[int]]:
    """Number the edges that lead to each node, by their sources."""
    return [
        [num_edges_before(node) + source for source in range(2 + node)] for node in range(num_nodes)
    ]


class KeptEdges:
    """The distribution of a cell whose most likely value `decode` returns.

    Each node keeps two different edges with one operation other than "none" on each. A choice is as
    likely as the product of the two operations' weights, the softmax of alpha: an edge's operation
    is drawn by alpha, and two edges are kept with a probability in proportion to the product of
    what their operations weigh together.
    """

    def __init__(self, is_candidate: Tensor, nodes: Sequence[Sequence[int]]) -> None:
        """Choose what can be kept.

        Args:
            is_candidate: False for "none", bool, (num_edges, num_operations), on alpha's device.
            nodes: The edges that lead to each node.
        """
        self._is_candidate = is_candidate
        self._nodes = []
        for edges in nodes:
            pairs = list(combinations(range(len(edges)), 2))
            # [p, e]: whether pair p keeps edge e.
            keeps = [[float(edge in pair) for edge in range(len(edges))] for pair in pairs]
            device = is_candidate.device
            self._nodes.append(
                (
                    torch.as_tensor(edges, dtype=torch.int64, device=device),
                    torch.as_tensor(keeps, dtype=torch.float64, device=device),
                )
            )

    def chances(self, alpha: Tensor) -> Tensor:
        """Return how likely each operation is to be kept.

        Args:
            alpha: Logits, float64, (num_edges, num_operations).

        Returns:
            Probabilities of the same shape: those of the edges that lead to a node sum to 2.
        """
        log_weights = torch.log_softmax(alpha, dim=-1)
        log_weights = log_weights.masked_fill(~self._is_candidate, -torch.inf)
        log_strength = log_weights.logsumexp(dim=-1)
        kept = torch.zeros_like(log_strength)
        for edges, keeps in self._nodes:
            pair_chances = torch.softmax(keeps @ log_strength[edges], dim=0)
            kept = kept.index_add(0, edges, pair_chances @ keeps)
        return kept[:, None] * (log_weights - log_strength[:, None]).exp()
