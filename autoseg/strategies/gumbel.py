"""Search by sampled paths: operations by a hard Gumbel-softmax, and a way through the strides."""

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from autoseg.architecture import CellEdge
from autoseg.architecture.cell import num_edges_before
from autoseg.strategies.darts import Darts, StepLosses
from autoseg.strategies.darts_search import DartsSearch
from autoseg.strategies.single_path import path_of
from autoseg.strategies.strategy import Batch
from autoseg.supernet import (
    CellSupernet,
    Supernet,
    WeightedCells,
    WeightedPath,
    estimate_statistics,
)

_TEMPERATURES = (10.0, 0.1)
"""At the search's start and end: GDAS, section 4.1."""

_MEMORY = 0.9
"""Weight of the earlier losses in their moving average."""

_NUM_STATISTICS_BATCHES = 8


def temperature(progress: float) -> float:
    """Return the temperature at a share of the search, in [0, 1]: it falls linearly."""
    first, last = _TEMPERATURES
    return first + (last - first) * progress


def hard_sample(logits: Tensor, noise: Tensor, *, temperature: float) -> tuple[Tensor, Tensor]:
    """Choose one option of each row, and weigh it by 1 with the gradient of its soft weight.

    With h = softmax((log softmax(logits) + noise) / temperature) the choice is its largest entry,
    and the weight 1 + h - h, of which the last h is a constant.

    Args:
        logits: (..., options).
        noise: From Gumbel(0, 1), the same shape.
        temperature: Above 0; it changes the gradient, and not the choice.

    Returns:
        Indices of the options, (...), and their weights, (...).

    Source: Dong and Yang 2019, "Searching for A Robust Neural Architecture in Four GPU Hours",
    arXiv 1910.04465, equations 3 to 6.
    """
    scores = torch.log_softmax(logits, dim=-1) + noise
    chosen = scores.argmax(dim=-1)
    soft = torch.softmax(scores / temperature, dim=-1).gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
    return chosen, 1 + (soft - soft.detach())


class Sample(NamedTuple):
    """What alpha and beta have drawn."""

    network: WeightedPath | WeightedCells
    """Evaluates it, and nothing else."""
    log_probability: Tensor
    """Logarithm of the probability with which beta draws the path: a scalar, 0 without a trellis.
    """


class GumbelDarts(Darts):
    """Moves weights, alpha and beta by the loss of a sampled path.

    In each half-step every edge of the cell samples one operation, by alpha, and every node on the
    way through the trellis the edge that is taken, by beta. Only what was sampled is evaluated,
    forward and backward. Weights that took no part stay as they are.

    The gradient of alpha goes through the weights of the sampled operations (straight through), as
    in GDAS. For beta this would be 0: one cell's output alone goes through the batch norm of the
    next, which undoes every factor. Its gradient is the score function's, (loss - mean of earlier
    losses) * grad log p(path), whose expectation is the gradient of the expected loss.

    In a cell space each edge of either cell samples one operation, which all cells of the kind
    have in this half-step: GDAS itself.

    Noise comes from torch's global generator, on the CPU.

    Sources: Dong and Yang 2019, arXiv 1910.04465, section 3.2 and algorithm 1; for beta Williams
    1992, "Simple statistical gradient-following algorithms", theorem 1.
    """

    unread = frozenset({"cuda_graph", "backend", "recompute_cells", "selection"})
    moves_all_weights = False

    temperature: float = _TEMPERATURES[0]
    mean_loss: Tensor | None = None
    """Moving average over the architecture's steps; None before the first."""

    def step(
        self, weight_batch: Batch, arch_batch: Batch | None = None, *, progress: float
    ) -> StepLosses:
        """Move the weights, and then alpha and beta, at the temperature of `progress`."""
        self.temperature = temperature(progress)
        return super().step(weight_batch, arch_batch, progress=progress)

    def predict(self, images: Tensor) -> Tensor:
        """Sample a path and return its logits."""
        self._sampled = self.sample()
        return self._sampled.network(images)

    def architecture_step(self, images: Tensor, target: Tensor) -> Tensor:
        """Move alpha against its slope through the sampled operations, and beta by the score.

        Arguments and result are those of `weight_step`.
        """
        self.arch_optimizer.zero_grad(set_to_none=True)
        with self._loss(self._arch, images, target) as loss:
            value = loss.detach()
            mean = value if self.mean_loss is None else self.mean_loss
            (loss + (value - mean) * self._sampled.log_probability).backward()
        self.mean_loss = mean + (1 - _MEMORY) * (value - mean)
        self.arch_optimizer.step()
        return value

    def sample(self) -> Sample:
        """Draw an operation for each edge, and where the strides are searched a path."""
        if isinstance(self.supernet, CellSupernet):
            return self._sample_cells(self.supernet)
        return self._sample_path(self.supernet)

    def _sample_cells(self, supernet: CellSupernet) -> Sample:
        space = supernet.space
        drawn = {
            "normal": self._draw(supernet.normal_alpha, space.normal_operations),
            "reduction": self._draw(supernet.reduction_alpha, space.reduction_operations),
        }
        network = WeightedCells(
            supernet,
            cells={name: edges for name, (edges, _) in drawn.items()},
            edge_weights={name: weights for name, (_, weights) in drawn.items()},
        )
        return Sample(network, torch.zeros((), device=self.device))

    def _sample_path(self, supernet: Supernet) -> Sample:
        space, beta = supernet.space, supernet.beta
        cell, edge_weights = self._draw(supernet.alpha, [space.operations] * space.num_edges)
        level, path, log_probabilities = 0, [], []
        for layer in range(space.num_layers):
            edges = [e for e in space.trellis() if (e.layer, e.source_level) == (layer, level)]
            directions = slice(edges[0].direction, edges[-1].direction + 1)
            scores = torch.log_softmax(beta[layer, level, directions], dim=-1)
            chosen = int((scores + _noise_like(scores)).argmax())
            level = edges[chosen].target_level
            path.append(space.strides[level])
            log_probabilities.append(scores[chosen])
        network = WeightedPath(supernet, cell=cell, path=path, edge_weights=edge_weights)
        return Sample(network, torch.stack(log_probabilities).sum())

    def _draw(
        self, alpha: Tensor, operations: Sequence[Sequence[str]]
    ) -> tuple[list[list[CellEdge]], Tensor]:
        """Draw an operation for each edge of a cell.

        Args:
            alpha: Logits, (num_edges, operations of an edge).
            operations: Their names.

        Returns:
            For each node the edges that lead to it, and the weights of what was drawn,
            (num_edges,).
        """
        chosen, weights = hard_sample(alpha, _noise_like(alpha), temperature=self.temperature)
        indices: list[int] = chosen.tolist()
        drawn = [names[index] for names, index in zip(operations, indices, strict=True)]
        cell: list[list[CellEdge]] = []
        while (first := num_edges_before(len(cell))) < len(drawn):
            ops = drawn[first : first + 2 + len(cell)]
            cell.append([CellEdge(source, op) for source, op in enumerate(ops)])
        return cell, weights

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to go on: that of DARTS, and the mean loss."""
        return {**super().state_dict(), "mean_loss": self.mean_loss}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` returned, on this device or another."""
        super().load_state_dict(state)
        mean_loss = state["mean_loss"]
        self.mean_loss = None if mean_loss is None else mean_loss.to(self.device)


def _noise_like(logits: Tensor) -> Tensor:
    """Draw Gumbel(0, 1) noise."""
    waiting_times = torch.empty(logits.shape, dtype=logits.dtype).exponential_()
    return -waiting_times.log().to(logits.device)


class GumbelSearch(DartsSearch):
    """A search by DARTS that evaluates one sampled path in place of the whole supernet.

    What is scored on the val split is the path that is decoded, on the supernet's weights, with
    batch norm's statistics of its own over some batches of trainA.
    """

    rule = GumbelDarts

    def scored_network(self) -> nn.Module:
        """Return the decoded path, with its own statistics."""
        path = path_of(self.supernet, self.decode())
        batches = islice(self.task.batches("a"), _NUM_STATISTICS_BATCHES)
        estimate_statistics(path, (images.to(self.task.device) for images, _ in batches))
        return path
