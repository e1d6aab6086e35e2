"""Partial channels of PC-DARTS: what of a state does not go through the operations.

Equation 2 of the paper sends a part of a state's channels, 1 / K of them, through the mixed
operation of an edge, and the others past it:

    f(x) = sum over operations o of softmax(alpha)_o * o(S * x) + (1 - S) * x.

S marks the first channels, as in the authors' code, which then shuffles the channels of f(x), so
that each of them meets the operations in one node or another.

All edges to a node shuffle alike, so that here the node is shuffled, once. What goes through the
operations is a mixed operation like any other, of fewer channels, for every back end.

Source: Xu et al. 2020, "PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture
Search", arXiv 1907.05737, section 3.2.
"""

from collections.abc import Iterator
from functools import reduce

import torch
from torch import Tensor


class PartialChannels:
    """Splits the states of a cell as they are sent, and joins its nodes; one evaluation's."""

    def __init__(self, divisor: int) -> None:
        """Send one of `divisor` channels through the operations, K of the paper; 1: all."""
        self._divisor = divisor
        self._rests: list[tuple[Iterator[Tensor], Tensor]] = []

    def split(self, state: Tensor, weights: Tensor) -> Tensor:
        """Take the channels that go through the operations, and remember the others.

        Args:
            state: (N, K, C, H, W).
            weights: Weight of each operation on the edges that leave the state, (T, operations).
                The others' weight on an edge is their sum: 1, or that of the edge where edges are
                normalised.

        Returns:
            (N, K, C / divisor, H, W).
        """
        if self._divisor == 1:
            return state
        width = state.shape[2] // self._divisor
        self._rests.append((iter(weights.sum(dim=1)), state[:, :, width:]))
        return state[:, :, :width]

    def join(self, mixed: Tensor) -> Tensor:
        """Complete the next node.

        Args:
            mixed: What the operations gave, summed over all edges, (N, K, C / divisor, H, W).

        Returns:
            (N, K, C, H, W).
        """
        if self._divisor == 1:
            return mixed
        # A state's edges are ordered by the nodes that they lead to, and it has one to each next.
        # State 0 is the same for all input cells: it broadcasts.
        others = reduce(torch.add, [next(weights) * rest for weights, rest in self._rests])
        return shuffle_channels(torch.cat([mixed, others], dim=2), self._divisor)


def shuffle_channels(maps: Tensor, num_groups: int) -> Tensor:
    """Interleave the channels of equal groups: the first of each, then the second of each, ...

    Args:
        maps: (N, K, C, H, W), C a multiple of `num_groups`.
        num_groups: Number of the groups, each of neighbouring channels.

    Returns:
        The same shape.

    Source: Zhang et al. 2018, "ShuffleNet", arXiv 1707.01083, section 3.1.
    """
    return maps.unflatten(2, (num_groups, -1)).transpose(2, 3).flatten(2, 3)
