"""Train the weights of a supernet by one architecture at a time.

Trained under a softmax, weights adapt to mixtures that no single network is: scores of single paths
by inherited weights then say little. Here every step trains networks of the space themselves.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.architecture import (
    NO_OPERATION,
    AnyArchitecture,
    Architecture,
    Cell,
    CellArchitecture,
    CellEdge,
    CellSpace,
    Space,
    sample_architecture,
    sample_cell_architecture,
)
from autoseg.architecture.cell import num_edges_before
from autoseg.config import SearchConfig
from autoseg.networks.shared import SharedNetworks
from autoseg.supernet import CellSupernet, SingleCells, SinglePath, Supernet
from autoseg.training import (
    SGD,
    ResolvedPrecision,
    autocast,
    cosine,
    resolve_precision,
    segmentation_loss,
    tensor_float,
)
from autoseg.upload import to_device

PathSampler = Callable[[Space, torch.Generator], tuple[AnyArchitecture, ...]]
"""Draws the architectures whose gradients make one step."""


def uniform_paths(space: Space, generator: torch.Generator) -> tuple[AnyArchitecture, ...]:
    """Draw one architecture, each with the same probability.

    Source: Guo et al. 2019, "Single Path One-Shot Neural Architecture Search with Uniform
    Sampling", arXiv 1904.00420, section 3.1.
    """
    if isinstance(space, CellSpace):
        return (sample_cell_architecture(space, generator),)
    return (sample_architecture(space, generator),)


def fair_paths(space: Space, generator: torch.Generator) -> tuple[AnyArchitecture, ...]:
    """Draw as many architectures as there are operations, among which no operation is favoured.

    They share path and sources, drawn uniformly; on each of their edges each operation other than
    "none" occurs in exactly one of them, in a random order that is drawn for every edge. Where an
    edge of a cell space has fewer operations than others, its order is begun again.

    Source: Chu et al. 2019, "FairNAS", arXiv 1907.01845, section 3.2 and algorithm 1.
    """
    (drawn,) = uniform_paths(space, generator)
    if isinstance(drawn, Architecture):
        operations = [space.operations] * num_edges_before(space.num_nodes)
        orders = _orders(drawn.cell, operations, generator)
        return tuple(
            replace(drawn, cell=_with_operations(drawn.cell, orders, number))
            for number in range(_longest(orders))
        )
    assert isinstance(space, CellSpace)
    normal = _orders(drawn.normal, space.normal_operations, generator)
    reduction = _orders(drawn.reduction, space.reduction_operations, generator)
    return tuple(
        replace(
            drawn,
            normal=_with_operations(drawn.normal, normal, number),
            reduction=_with_operations(drawn.reduction, reduction, number),
        )
        for number in range(_longest(normal + reduction))
    )


_Orders = list[tuple[list[str], list[str]]]
"""For both edges of each node, the operations that it may have, in some order."""


def _orders(cell: Cell, operations: Sequence[Sequence[str]], generator: torch.Generator) -> _Orders:
    """Draw an order for every edge that a cell keeps; `operations` are those of all edges."""

    def order(node: int, edge: CellEdge) -> list[str]:
        names = operations[num_edges_before(node) + edge.source]
        names = [op for op in names if op != NO_OPERATION]
        return [names[i] for i in torch.randperm(len(names), generator=generator)]

    return [(order(node, first), order(node, second)) for node, (first, second) in enumerate(cell)]


def _longest(orders: _Orders) -> int:
    return max(len(order) for both in orders for order in both)


def _with_operations(cell: Cell, orders: _Orders, number: int) -> Cell:
    """Give each edge the operation of this number in its order, which begins again at its end."""
    return tuple(
        (
            first._replace(op=one[number % len(one)]),
            second._replace(op=other[number % len(other)]),
        )
        for (first, second), (one, other) in zip(cell, orders, strict=True)
    )


PATH_SAMPLERS: dict[str, PathSampler] = {"uniform": uniform_paths, "fair": fair_paths}
"""Ways to draw the architectures of a step, by name."""


SharedWeights = Supernet | CellSupernet | SharedNetworks
"""The weights of all architectures of a space."""


def path_of(supernet: SharedWeights, architecture: AnyArchitecture) -> nn.Module:
    """Return the network of one architecture on the supernet's own weights."""
    if isinstance(supernet, CellSupernet):
        assert isinstance(architecture, CellArchitecture)
        return SingleCells(supernet, architecture)
    assert isinstance(architecture, Architecture)
    if isinstance(supernet, SharedNetworks):
        return supernet.network(architecture)
    return SinglePath(supernet, architecture)


class SinglePathTraining:
    """Moves the weights against the summed gradients of sampled architectures; alpha and beta rest.

    Weights that took no part in a step stay as they are, momentum and decay included. In a flat
    weight, whose other operations were evaluated, an operation that was not still follows momentum
    and decay, as it does where gradients are set to zero.
    """

    def __init__(
        self,
        supernet: SharedWeights,
        config: SearchConfig,
        *,
        sampler: PathSampler,
        ignore_index: int,
        device: torch.device,
    ) -> None:
        """Build the optimizer.

        Args:
            supernet: On `device`.
            config: Learning rate and the like; its seed decides the architectures.
            sampler: One of `PATH_SAMPLERS`.
            ignore_index: Label of pixels that do not count.
            device: Where the supernet is.
        """
        self.supernet = supernet
        self.config = config
        self.sampler = sampler
        self.ignore_index = ignore_index
        self.device = device
        self.precision: ResolvedPrecision = resolve_precision(config.precision, device)
        self.num_evaluations = 0
        """Forward and backward passes so far."""
        self._generator = torch.Generator().manual_seed(config.seed)
        self._weights = supernet.weight_parameters()
        self._optimizer = SGD(
            self._weights,
            lr=config.weight_lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            foreach=True,
        )

    def learning_rate(self, progress: float) -> float:
        """Return the learning rate at a share of the training, in [0, 1]."""
        return cosine(progress, initial=self.config.weight_lr, final=self.config.weight_lr_final)

    def step(self, images: Tensor, target: Tensor, *, progress: float) -> Tensor:
        """Draw architectures and move the weights.

        Args:
            images: Normalised, (N, 3, H, W).
            target: int64, (N, H, W).
            progress: Share of the training that is done, in [0, 1]; sets the learning rate.

        Returns:
            The architectures' mean loss before the step: a scalar without gradient.
        """
        images, target = to_device(images, self.device), to_device(target, self.device)
        rate = self.learning_rate(progress)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        losses = []
        for architecture in self.sampler(self.supernet.space, self._generator):
            with tensor_float(self.precision):
                with autocast(self.precision, self.device):
                    logits = path_of(self.supernet, architecture)(images)
                loss = segmentation_loss(logits, target, ignore_index=self.ignore_index)
                loss.backward()
            losses.append(loss.detach())
        self.num_evaluations += len(losses)
        if self.config.gradient_clip > 0:
            nn.utils.clip_grad_norm_(self._weights, self.config.gradient_clip)
        self._optimizer.step()
        return torch.stack(losses).mean()

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to go on."""
        return {
            "supernet": self.supernet.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
            "num_evaluations": self.num_evaluations,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` returned."""
        self.supernet.load_state_dict(state["supernet"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"].cpu())
        self.num_evaluations = state["num_evaluations"]
