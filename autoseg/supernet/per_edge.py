"""Registered operations in the supernet: every edge by its own module, slow and correct."""

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from autoseg.architecture import OPERATIONS
from autoseg.ops import build_operation, remove_affine_
from autoseg.supernet.batch_norm import with_usual_strides


def registered(operations: Sequence[str]) -> tuple[str, ...]:
    """Return the operations that are registered ones, in their order."""
    return tuple(name for name in operations if OPERATIONS[name].build is not None)


class PerEdge(nn.Module):
    """The registered operations of everything that one state sends to later nodes.

    A target's modules share their weights over the K input cells that the state was computed for,
    and have buffers of their own for each, such as running statistics. This is what
    `autoseg.supernet.source_op` does for the operations of the table's families.
    """

    def __init__(
        self, operations: Sequence[str], channels: int, *, num_targets: int, num_inputs: int
    ) -> None:
        """Build the modules.

        Args:
            operations: All of the space, in the order of alpha's columns.
            channels: C of the state.
            num_targets: T, the nodes after the state.
            num_inputs: K.
        """
        super().__init__()
        self.names = registered(operations)
        self._columns = [operations.index(name) for name in self.names]
        self._num_targets, self._num_inputs = num_targets, num_inputs
        self.modules_of = nn.ModuleList(
            nn.ModuleList(
                nn.ModuleList(_sharing_weights(_build_for_search(name, channels), num_inputs))
                for _ in range(num_targets)
            )
            for name in self.names
        )
        """The modules, by operation, target and input cell."""

    def forward(self, state: Tensor, alpha: Tensor) -> Tensor:
        """Sum the weighted operations of every edge.

        Args:
            state: (N, K, C, H, W).
            alpha: Weight of each operation, registered or not, (T, num_operations).

        Returns:
            (N, K, T, C, H, W).
        """
        contributions = [
            torch.stack(
                [
                    torch.stack(
                        [
                            alpha[target, column] * self.evaluate(name, state[:, k], k, target)
                            for name, column in zip(self.names, self._columns, strict=True)
                        ]
                    ).sum(dim=0)
                    for target in range(self._num_targets)
                ],
                dim=1,
            )
            for k in range(self._num_inputs)
        ]
        return torch.stack(contributions, dim=1)

    def evaluate(self, name: str, maps: Tensor, k: int, target: int) -> Tensor:
        """Evaluate one operation of the edge from input cell `k` on (N, C, H, W)."""
        by_target = cast(nn.ModuleList, self.modules_of[self.names.index(name)])
        module = cast(nn.ModuleList, by_target[target])[k]
        return with_usual_strides(module(with_usual_strides(maps)))


def _build_for_search(name: str, channels: int) -> nn.Module:
    """Build an operation without scale and shift in its norms."""
    module = build_operation(name, channels, 1)
    remove_affine_(module)
    return module


def _sharing_weights(module: nn.Module, count: int) -> list[nn.Module]:
    """Return the module and copies of it that have its parameters, but buffers of their own."""
    shared = {id(parameter): parameter for parameter in module.parameters()}
    return [module, *(copy.deepcopy(module, dict(shared)) for _ in range(count - 1))]
