"""Expected cost of what a search would decode, as a differentiable function of alpha and beta."""

import torch
from torch import Tensor

from autoseg.architecture import NO_OPERATION, normalise_beta
from autoseg.pricing.kept_edges import KeptEdges, node_edges
from autoseg.pricing.prices import Prices


class ExpectedCost:
    """The expected cost of an architecture drawn by alpha and beta, exactly.

    The distribution is the one whose most likely architecture `decode` returns (under the paper's
    path rule):

    - The path is a Markov chain from the stem: from a node it goes on to each next stride with the
      softmax of beta over the edges that leave the node.
    - The cell is drawn as `KeptEdges` says.

    Nodes and path are independent. What a cell costs depends on its stride and on those of the two
    layers before, so that the chance of each such triple is carried along the trellis, and no path
    is enumerated. The two-thirds rule of beta is the same softmax, once a node's edges are made to
    sum to 1.

    All of it is computed in float64 and on the device, without a look at a value.
    """

    def __init__(self, prices: Prices, *, device: torch.device) -> None:
        """Move the prices to the device of alpha and beta."""
        space = self.space = prices.space

        def tensor(values: object, dtype: torch.dtype = torch.float64) -> Tensor:
            return torch.as_tensor(values, dtype=dtype, device=device)

        self._fixed = float(prices.fixed)
        self._inputs, self._operations = tensor(prices.inputs), tensor(prices.operations)
        self._head, self._low_level = tensor(prices.head), tensor(prices.low_level)
        self._low_level_layer = prices.low_level_layer
        levels = torch.arange(space.num_levels, device=device)
        # [a, k, b]: direction k leads from level a to level b.
        self._directions = tensor(
            levels[None, None] == levels[:, None, None] + levels.new_tensor([-1, 0, 1])[:, None]
        )
        self._goes_down = levels[None] > levels[:, None]  # from a to b
        self._at_start = tensor(torch.zeros(space.num_levels, space.num_levels))
        self._at_start[0, 0] = 1
        is_candidate = [[op != NO_OPERATION for op in space.operations]] * space.num_edges
        self._kept = KeptEdges(tensor(is_candidate, torch.bool), node_edges(space.num_nodes))
        # 1 for an edge from source 0 or 1, which are the cell's inputs, 0 for one from a node.
        self._reads_input = tensor(
            [source < 2 for node in range(space.num_nodes) for source in space.predecessors(node)]
        )

    def __call__(self, alpha: Tensor, beta: Tensor) -> Tensor:
        """Return the expected cost of one image.

        Args:
            alpha: Logits of the operations, (num_edges, num_operations), on the device.
            beta: Logits of the trellis edges, (num_layers, num_levels, 3), on the device.

        Returns:
            A scalar, float64, in the unit of the prices.
        """
        cells = self._cell_costs(alpha.double())  # by level, and whether inputs are halved
        cells = torch.where(self._goes_down, cells[:, 1], cells[:, 0])  # by level before, level
        steps = normalise_beta(self.space, beta.double())
        steps = torch.einsum("lak,akb->lab", steps, self._directions)
        total, pairs = self._fixed, self._at_start
        for layer, step in enumerate(steps):
            triples = pairs[:, :, None] * step  # two layers before, layer before, layer
            pairs = triples.sum(dim=0)
            total = total + (triples * self._inputs[layer]).sum() + (pairs * cells).sum()
            if layer == self._low_level_layer:
                total = total + pairs.sum(dim=0) @ self._low_level
        return total + pairs.sum(dim=0) @ self._head

    def _cell_costs(self, alpha: Tensor) -> Tensor:
        """Return the expected cost of a cell's operations, (levels, 2)."""
        chances = self._kept.chances(alpha)
        on_inputs, on_nodes = self._reads_input @ chances, (1 - self._reads_input) @ chances
        return self._operations @ on_inputs + (self._operations[:, :1] @ on_nodes)
