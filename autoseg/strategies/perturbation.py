"""Select an architecture by what a supernet loses without each choice."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from autoseg.architecture import (
    NO_OPERATION,
    Architecture,
    CellEdge,
    SearchSpace,
    normalise_alpha,
    normalise_beta,
)
from autoseg.strategies.strategy import Batch
from autoseg.supernet import Supernet
from autoseg.supernet.batch_norm import frozen_statistics
from autoseg.training import segmentation_loss
from autoseg.upload import to_device

SELECTION_SHARE = Fraction(1, 5)
"""What a selection may cost, as a share of the search before it."""

_NUM_SOURCES = 2
"""Edges that a node keeps."""


def num_decisions(space: SearchSpace) -> int:
    """Count the choices: an operation for each edge, the sources of each node, a way per layer."""
    return space.num_edges + space.num_nodes + space.num_layers


def num_scores(space: SearchSpace) -> int:
    """Bound the passes, forward alone, that all choices take."""
    num_operations = len(set(space.operations) - {NO_OPERATION})
    return space.num_edges * (num_operations + 1) + 3 * space.num_layers


def num_selection_steps(space: SearchSpace, num_passes: int) -> int:
    """Return the steps of a selection: each choice, and at least one step of the weights after it.

    Args:
        space: The space.
        num_passes: Passes of the search, of whose cost the selection may have `SELECTION_SHARE`; a
            score, forward alone, counts as a third of a pass.
    """
    left = SELECTION_SHARE * num_passes - Fraction(num_scores(space), 3)
    return num_decisions(space) * (1 + max(1, int(left / num_decisions(space))))


class PerturbationSelection:
    """Makes one choice after the other; what was chosen is all that the supernet has left there.

    First, for the edges of the cell in random order, the operation without which the loss on a
    batch of trainB is highest; then, for the nodes in random order, the two edges without which it
    is highest; then the way through the trellis from the stem on, at each layer the edge without
    which it is highest among those that leave the node that was reached. What is left out is left
    out of the softmax: the other weights stay as they are.

    DARTS-PT has the accuracy on the whole validation split in place of the loss, and no trellis.

    Source: Wang et al. 2021, "Rethinking Architecture Selection in Differentiable NAS", arXiv
    2108.04392, section 4.2 and algorithms 1 and 2.

    Attributes:
        num_decided: Choices that were made.
    """

    def __init__(self, supernet: Supernet, *, ignore_index: int, seed: int) -> None:
        """Draw the order of the choices.

        Args:
            supernet: Trained; its alpha and beta are read and left as they are.
            ignore_index: Label of pixels that do not count.
            seed: Decides the order.
        """
        space = supernet.space
        self.supernet = supernet
        self.ignore_index = ignore_index
        self.num_decided = 0
        generator = torch.Generator().manual_seed(seed)
        self._edges = torch.randperm(space.num_edges, generator=generator).tolist()
        self._nodes = torch.randperm(space.num_nodes, generator=generator).tolist()
        self._operations: dict[int, int] = {}
        self._sources: dict[int, list[int]] = {}
        self._levels: list[int] = []

    @property
    def is_done(self) -> bool:
        """Whether every choice was made."""
        return self.num_decided == num_decisions(self.supernet.space)

    def weights(self) -> tuple[Tensor, Tensor]:
        """Return the weights of operations and of trellis edges that are left, without gradient."""
        space, supernet = self.supernet.space, self.supernet
        alpha = normalise_alpha(supernet.alpha.detach())
        beta = normalise_beta(space, supernet.beta.detach(), rule=supernet.beta_norm)
        alpha, beta = alpha.clone(), beta.clone()
        for row, operation in self._operations.items():
            alpha[row] = 0
            alpha[row, operation] = 1
        for node, kept in self._sources.items():
            for source in set(space.predecessors(node)) - set(kept):
                alpha[space.edge_index(source, node)] = 0
        level = 0
        for layer, target in enumerate(self._levels):
            beta[layer] = 0
            beta[layer, level, target - level + 1] = 1
            level = target
        return alpha, beta

    def decide(self, batch: Batch) -> int:
        """Make the next choice, and return how many passes it took."""
        space, number = self.supernet.space, self.num_decided
        self.num_decided += 1
        if number < space.num_edges:
            row = self._edges[number]
            options = [i for i, op in enumerate(space.operations) if op != NO_OPERATION]
            losses = self._losses(batch, options, lambda alpha, _, option: alpha[row, option])
            self._operations[row] = options[_highest(losses)[0]]
            return len(options)
        number -= space.num_edges
        if number < space.num_nodes:
            node = self._nodes[number]
            options = list(space.predecessors(node))
            rows = {source: space.edge_index(source, node) for source in options}
            losses = self._losses(batch, options, lambda alpha, _, option: alpha[rows[option]])
            self._sources[node] = sorted(options[i] for i in _highest(losses)[:_NUM_SOURCES])
            return len(options)
        layer, level = number - space.num_nodes, self._levels[-1] if self._levels else 0
        options = [
            edge.target_level
            for edge in space.trellis()
            if (edge.layer, edge.source_level) == (layer, level)
        ]
        losses = self._losses(
            batch, options, lambda _, beta, option: beta[layer, level, option - level + 1]
        )
        self._levels.append(options[_highest(losses)[0]])
        return len(options)

    def _losses(
        self,
        batch: Batch,
        options: Sequence[int],
        entries: Callable[[Tensor, Tensor, int], Tensor],
    ) -> list[float]:
        """Return the loss without each option; `entries` is a view of the weights it stands for."""
        device = self.supernet.alpha.device
        images, target = (to_device(tensor, device) for tensor in batch)
        losses = []
        for option in options:
            alpha, beta = self.weights()
            entries(alpha, beta, option).zero_()
            with torch.no_grad(), frozen_statistics(self.supernet):
                logits = self.supernet.forward_weighted(images, alpha, beta)
                loss = segmentation_loss(logits, target, ignore_index=self.ignore_index)
            losses.append(float(loss.nan_to_num(torch.inf)))
        return losses

    def decode(self) -> Architecture:
        """Return what was chosen; where nothing was yet, what alpha and beta lead to."""
        space, decoded = self.supernet.space, self.supernet.decode()
        if not self.is_done:
            return decoded
        cell = tuple(
            (self._cell_edge(node, kept[0]), self._cell_edge(node, kept[1]))
            for node, kept in sorted(self._sources.items())
        )
        path = tuple(space.strides[level] for level in self._levels)
        return Architecture(space=space.name, strides=space.strides, path=path, cell=cell)

    def _cell_edge(self, node: int, source: int) -> CellEdge:
        space = self.supernet.space
        operation = self._operations[space.edge_index(source, node)]
        return CellEdge(source, space.operations[operation])

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to go on; the order follows from the seed."""
        return {
            "num_decided": self.num_decided,
            "operations": [list(pair) for pair in self._operations.items()],
            "sources": [[node, list(kept)] for node, kept in self._sources.items()],
            "levels": list(self._levels),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` returned."""
        self.num_decided = state["num_decided"]
        self._operations = dict(state["operations"])
        self._sources = {node: list(kept) for node, kept in state["sources"]}
        self._levels = list(state["levels"])


def _highest(losses: Sequence[float]) -> list[int]:
    """Order positions by their loss, the highest first; of equal ones the first."""
    return sorted(range(len(losses)), key=lambda number: -losses[number])
