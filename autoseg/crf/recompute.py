"""Mean field inference whose gradient takes the same memory for any number of updates."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from autoseg.crf.linear import LinearFilter
from autoseg.crf.mean_field import run_updates, update
from autoseg.first_order import first_order

NUM_SNAPSHOTS = 2
"""Marginals (K, P) that the backward pass keeps, beside those of the update it is at.

With two, the backward pass of 5 updates runs 5 of them again before it gets to each, that of 10
runs 15 and that of 20 runs 45; with none it would run 10, 45 and 190, with all kept 0.
"""


def recomputed_mean_field(
    log_probabilities: Tensor,
    terms: Sequence[tuple[Tensor, LinearFilter]],
    *,
    num_iterations: int,
    compatibility: Tensor | None = None,
    tolerance: float | None = None,
) -> Tensor:
    """Return what `autoseg.crf.mean_field.mean_field` does, with the same gradient.

    Nothing but the arguments is kept for the gradient. The backward pass repeats updates from
    Q_0 or from one of `NUM_SNAPSHOTS` marginals on the way, and so needs the same memory for any
    `num_iterations`. Its gradient cannot be differentiated again.

    Source: Griewank and Walther 2000, "Algorithm 799: revolve", for the order of the repetitions.
    """
    weights, filters = [weight for weight, _ in terms], [filter_ for _, filter_ in terms]
    return _Recomputed.apply(
        log_probabilities, compatibility, filters, num_iterations, tolerance, *weights
    )


class _Recomputed(torch.autograd.Function):
    """All updates as one function of log probabilities, compatibility and weights."""

    @staticmethod
    def forward(
        ctx: Any,
        log_probabilities: Tensor,
        compatibility: Tensor | None,
        filters: Sequence[LinearFilter],
        num_iterations: int,
        tolerance: float | None,
        *weights: Tensor,
    ) -> Tensor:
        ctx.filters = filters
        ctx.save_for_backward(log_probabilities, compatibility, *weights)
        terms = list(zip(weights, ctx.filters, strict=True))
        marginals, ctx.num_updates = run_updates(
            log_probabilities,
            terms,
            compatibility,
            num_iterations=num_iterations,
            tolerance=tolerance,
        )
        return marginals

    @staticmethod
    @first_order("build the DenseCRF with recompute=False")
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] of the decorated method
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        log_probabilities, compatibility, *weights = ctx.saved_tensors
        is_wanted = [*ctx.needs_input_grad[:2], *ctx.needs_input_grad[5:]]
        sums: list[Tensor | None] = [None] * len(is_wanted)
        grad_marginals = grad_outputs[0]

        def step(marginals: Tensor) -> Tensor:
            terms = list(zip(weights, ctx.filters, strict=True))
            return update(log_probabilities, marginals, terms, compatibility)

        def go_back(marginals: Tensor) -> None:
            """Turn the gradient of an update's result into that of what it started from."""
            nonlocal grad_marginals
            start = marginals.detach().requires_grad_()
            leaves = [
                None if tensor is None else tensor.detach().requires_grad_(wanted)
                for tensor, wanted in zip(ctx.saved_tensors, is_wanted, strict=True)
            ]
            unary: Any
            unary, matrix, *factors = leaves
            with torch.enable_grad():
                terms: Any = list(zip(factors, ctx.filters, strict=True))
                result = update(unary, start, terms, matrix)
            torch.autograd.backward(result, grad_marginals)
            for i, leaf in enumerate(leaves):
                if leaf is not None and leaf.grad is not None:
                    sums[i] = leaf.grad if sums[i] is None else sums[i] + leaf.grad
            # Without a term nothing depends on what an update started from.
            grad_marginals = torch.zeros_like(start) if start.grad is None else start.grad

        start = torch.softmax(log_probabilities, dim=0)
        reverse(step, go_back, start, ctx.num_updates, NUM_SNAPSHOTS)
        if is_wanted[0]:
            # Q_0's part: the gradient of a softmax, from its result.
            part = start * (grad_marginals - (start * grad_marginals).sum(dim=0, keepdim=True))
            sums[0] = part if sums[0] is None else sums[0] + part
        return sums[0], sums[1], None, None, None, *sums[2:]


def reverse(
    run: Callable[[Tensor], Tensor],
    visit: Callable[[Tensor], None],
    state: Tensor,
    num_steps: int,
    num_snapshots: int,
) -> None:
    """Visit the states of a chain in reverse, keeping only a few at a time.

    Args:
        run: Returns state n + 1 for state n.
        visit: Called with states num_steps - 1, ..., 0.
        state: State 0.
        num_steps: States to visit, >= 0.
        num_snapshots: States that may be kept beside state 0 and the one that is visited.
    """
    while num_steps > 0:
        skipped = num_steps - 1
        if num_snapshots > 0:
            skipped = _steps_before_snapshot(num_steps, num_snapshots)
        later = state
        for _ in range(skipped):
            later = run(later)
        if skipped == num_steps - 1:
            visit(later)
        else:
            reverse(run, visit, later, num_steps - skipped, num_snapshots - 1)
        num_steps = skipped


def _steps_before_snapshot(num_steps: int, num_snapshots: int) -> int:
    """Return where the next snapshot is best taken.

    From s kept states, running no step more than r times reaches b(s, r) = C(s + r, s) states:
    b(s, r - 1) before the snapshot, which lie behind one repetition more, and b(s - 1, r) from it
    on. The fewest steps are run for any division into parts from b(s, r - 2) and b(s - 1, r - 1)
    on to these.
    """
    slots = num_snapshots + 1  # state 0 of the part is one of the places to start from
    repeats = 0
    while math.comb(slots + repeats, slots) < num_steps:
        repeats += 1
    if repeats == 0:
        return 0  # a single step
    longest_behind = math.comb(slots + repeats - 1, slots - 1)
    shortest_before = math.comb(slots + repeats - 2, slots)
    return max(1, shortest_before, num_steps - longest_behind)
