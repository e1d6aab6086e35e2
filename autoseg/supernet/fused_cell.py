"""All source operations of a cell as one differentiable function over fused kernels.

The gradient is written out: states and their gradients lie in two buffers that kernels read and add
to, so that autograd neither copies nor keeps what lies between. The loop over states is that of
`autoseg.supernet.cell`; the kernels of a device only have to evaluate one source operation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor

from autoseg.first_order import first_order
from autoseg.supernet.source_layout import SourceLayout

Size = tuple[int, int, int, int]
"""N, C, H, W of a state."""


class SourceKernels(Protocol):
    """One source operation, forward and backward, on one kind of device.

    Packed tensors have the layout that the kernels like; their first dimension is K, and they are
    contiguous.
    """

    def pack(self, maps: Tensor) -> Tensor:
        """Lay (N, K, C, H, W) out for the kernels."""
        ...

    def unpack(self, packed: Tensor, num_images: int, channels: int) -> Tensor:
        """Return packed maps as (N, K, C, H, W)."""
        ...

    def forward(
        self,
        layout: SourceLayout,
        weight: Tensor,
        statistics: tuple[Tensor, Tensor],
        state: Tensor,
        alpha: Tensor,
        out: Tensor,
        *,
        size: Size,
        training: bool,
        momentum: float,
        keep: bool,
    ) -> tuple[Tensor, ...]:
        """Add the contributions of a state to the nodes after it.

        Args:
            layout: Order of weights and features.
            weight: All weights of the state's operations, flat, in the order of the layout.
            statistics: Running mean and variance, flat; in training moved by `momentum`.
            state: Packed, (K, ...).
            alpha: (T, num_operations).
            out: Packed, (T, K, ...); added to.
            size: Size of the state, (N, C, H, W).
            training: Whether batch norm uses the statistics of the batch.
            momentum: Weight of the batch in the running statistics.
            keep: Keep maps for the backward pass, which otherwise evaluates them again.

        Returns:
            What the backward pass needs beside the state.
        """
        ...

    def backward(
        self,
        layout: SourceLayout,
        weight: Tensor,
        state: Tensor,
        alpha: Tensor,
        saved: tuple[Tensor, ...],
        grad_out: Tensor,
        grad_state: Tensor,
        *,
        size: Size,
        training: bool,
        grad_weight: Tensor | None,
        grad_alpha: Tensor | None,
    ) -> None:
        """Send the gradient of the contributions back.

        Args:
            layout: Order of weights and features, the same one as in `forward`.
            weight: The weights that `forward` had, flat.
            state: The state that `forward` had, packed, (K, ...).
            alpha: The weights of the operations that `forward` had, (T, num_operations).
            saved: What `forward` returned.
            grad_out: Packed, (T, K, ...).
            grad_state: Packed, (K, ...); added to.
            size: Size of the state, (N, C, H, W).
            training: Whether `forward` used the statistics of the batch.
            grad_weight: Written, like `weight`; None where it is not wanted.
            grad_alpha: Written, like `alpha`; None where it is not wanted.
        """
        ...


@dataclass(frozen=True)
class FusedCell:
    """A cell's kernels, with what stays the same from step to step.

    Calling it evaluates equations 1 to 3 and 5 of Auto-DeepLab: the nodes from the two inputs, and
    their sum over the input cells. All of it, the backward pass too, has one precision, that of
    alpha: under autocast inputs are cast to it at the door, and what comes out is of it.
    """

    kernels: SourceKernels
    layouts: tuple[SourceLayout, ...]
    """One layout for each state that sends something: the previous-previous input where there is
    one, the previous input, every node but the last."""
    num_nodes: int
    training: bool
    momentum: float
    keep: bool
    """Keep maps for the backward pass, or evaluate them again there: less memory, more time."""

    def __call__(
        self,
        previous: Tensor,
        previous_previous: Tensor | None,
        alpha: Tensor,
        beta: Tensor,
        weights: Sequence[Tensor],
        statistics: Sequence[tuple[Tensor, Tensor]],
    ) -> Tensor:
        """Evaluate the cell.

        Args:
            previous: State 1 for each of the K input cells, (N, K, C, H, W).
            previous_previous: State 0, (N, 1, C, H, W), or None where there is no such cell.
            alpha: Weights of all edges, those that leave state 0 first, then those of state 1, ...,
                (edges, num_operations). Without state 0 its edges are left out.
            beta: Weight of each input cell, (K,).
            weights: Flat weights of each layout.
            statistics: Running mean and variance of each layout.

        Returns:
            (N, num_nodes * C, H, W).
        """
        output = _FusedCell.apply(
            self, previous, previous_previous, alpha, beta, tuple(statistics), *weights
        )
        assert isinstance(output, Tensor)
        return output


class _FusedCell(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        cell: FusedCell,
        previous: Tensor,
        previous_previous: Tensor | None,
        alpha: Tensor,
        beta: Tensor,
        statistics: tuple[tuple[Tensor, Tensor], ...],
        *weights: Tensor,
    ) -> Tensor:
        kernels, num_nodes = cell.kernels, cell.num_nodes
        num_images, num_inputs, *size = previous.shape
        ctx.size = (num_images, *size)
        alphas = alpha.split([layout.num_targets for layout in cell.layouts])
        saved: list[tuple[Tensor, ...]] = []

        def send(source: int, state: Tensor, out: Tensor) -> None:
            saved.append(
                kernels.forward(
                    cell.layouts[source],
                    weights[source],
                    statistics[source],
                    state,
                    alphas[source],
                    out,
                    size=ctx.size,
                    training=cell.training,
                    momentum=cell.momentum,
                    keep=cell.keep,
                )
            )

        states = [kernels.pack(previous)]
        if previous_previous is None:
            nodes = states[0].new_zeros(num_nodes, *states[0].shape)
        else:
            # State 0 does not depend on the input cell: its contributions are evaluated once.
            states.insert(0, kernels.pack(previous_previous))
            shared = states[0].new_zeros(num_nodes, *states[0].shape)
            send(0, states[0], shared)
            nodes = shared.expand(-1, num_inputs, *shared.shape[2:]).contiguous()
        send(len(saved), states[-1], nodes)
        for node in range(num_nodes - 1):
            send(len(saved), nodes[node], nodes[node + 1 :])
        ctx.cell, ctx.num_saved = cell, [len(tensors) for tensors in saved]
        ctx.save_for_backward(
            *states,
            nodes,
            alpha,
            beta,
            *weights,
            *[tensor for tensors in saved for tensor in tensors],
        )
        # Equation 5 is linear in the input cells: the sum over them commutes with concatenation.
        # Autocast off: it would round the product, whose gradient would then come in bf16 as well,
        # while all that the backward pass has kept is in the precision of alpha.
        with torch.autocast(nodes.device.type, enabled=False):
            mixed = torch.matmul(beta, nodes.flatten(2)).view(num_nodes, *nodes.shape[2:])
        maps = kernels.unpack(mixed, num_images, size[0])  # (N, nodes, C, H, W)
        return _channels_last(maps)

    @staticmethod
    @first_order('build the Supernet with backend="torch"')
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        cell: FusedCell = ctx.cell
        kernels, num_nodes, num_sources = cell.kernels, cell.num_nodes, len(cell.layouts)
        num_states = num_sources - num_nodes + 1  # inputs of the cell: 1 or 2
        remaining = iter(ctx.saved_tensors)
        states = list(islice(remaining, num_states))
        nodes, alpha, beta = islice(remaining, 3)
        weights = list(islice(remaining, num_sources))
        saved = [tuple(islice(remaining, count)) for count in ctx.num_saved]
        _, _, _, wants_alpha, wants_beta, _, *wants_weights = ctx.needs_input_grad

        grad_mixed = kernels.pack(grad_output.unflatten(1, (num_nodes, -1)))
        grad_nodes = beta.view(-1, *[1] * (nodes.dim() - 2)) * grad_mixed.unsqueeze(1)
        grad_beta = None
        if wants_beta:
            products = torch.matmul(nodes.flatten(2), grad_mixed.flatten(1).unsqueeze(2))
            grad_beta = products.sum(dim=(0, 2))
        grad_alpha = torch.empty_like(alpha) if wants_alpha else None
        grad_weights = [
            torch.empty_like(weight) if wanted else None
            for weight, wanted in zip(weights, wants_weights, strict=True)
        ]
        num_targets = [layout.num_targets for layout in cell.layouts]
        alphas = alpha.split(num_targets)
        grad_alphas = (
            [None] * num_sources if grad_alpha is None else list(grad_alpha.split(num_targets))
        )

        def send_back(source: int, state: Tensor, grad_out: Tensor, grad_state: Tensor) -> None:
            kernels.backward(
                cell.layouts[source],
                weights[source],
                state,
                alphas[source],
                saved[source],
                grad_out,
                grad_state,
                size=ctx.size,
                training=cell.training,
                grad_weight=grad_weights[source],
                grad_alpha=grad_alphas[source],
            )

        # A node's gradient is complete when all nodes after it have sent theirs back.
        for node in reversed(range(num_nodes - 1)):
            send_back(num_states + node, nodes[node], grad_nodes[node + 1 :], grad_nodes[node])
        grad_states = [torch.zeros_like(state) for state in states]
        send_back(num_states - 1, states[-1], grad_nodes, grad_states[-1])
        if num_states == 2:
            send_back(0, states[0], grad_nodes.sum(dim=1, keepdim=True), grad_states[0])
        num_images, channels = ctx.size[:2]
        grad_inputs = [kernels.unpack(gradient, num_images, channels) for gradient in grad_states]
        grad_previous_previous = grad_inputs[0] if num_states == 2 else None
        return (
            None,
            grad_inputs[-1],
            grad_previous_previous,
            grad_alpha,
            grad_beta,
            None,
            *grad_weights,
        )


def _channels_last(maps: Tensor) -> Tensor:
    """(N, nodes, C, H, W) -> (N, nodes * C, H, W), whose channels lie together in memory."""
    return maps.permute(0, 3, 4, 1, 2).flatten(3).contiguous().permute(0, 3, 1, 2)
