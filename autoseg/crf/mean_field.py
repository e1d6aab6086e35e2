"""Mean field inference in a fully connected conditional random field."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autoseg.crf.linear import LinearFilter


def mean_field(
    log_probabilities: Tensor,
    terms: Sequence[tuple[Tensor, LinearFilter]],
    *,
    num_iterations: int,
    compatibility: Tensor | None = None,
    tolerance: float | None = None,
) -> Tensor:
    """Approximate the marginals of a random field with Gaussian pairwise terms.

        Q_0       = softmax(-U)
        S_n(l)    = sum_m w_m(l) K_m Q_n(l)
        Q_(n+1)   = softmax(-U - mu S_n)    with a label compatibility mu
                    softmax(-U + S_n)       for a Potts model, mu(l, l') = [l != l']

    All pixels are updated at once, without damping. The two agree for Potts: mu S_n is then the
    sum of S_n over all labels, which drops out of the softmax, less S_n.

    Every update keeps its Q_n, (K, P), for the gradient and nothing else of that size.

    Args:
        log_probabilities: -U, (K, P), for K labels and P pixels.
        terms: The pairwise terms: weight w_m, no dimensions or one of each label, (K,), and
            filter K_m, i = j included.
        num_iterations: Updates after Q_0, at most.
        compatibility: mu, penalty of label l at a pixel for label l' at another, (K, K); None for
            Potts.
        tolerance: Stop after an update that changes no probability by this much; None never does.
            Comparing waits for the device; without a tolerance nothing here does.

    Returns:
        Q, (K, P), a distribution over the labels of each pixel.

    Source: Krahenbuhl and Koltun 2011 (arXiv 1210.5644), algorithm 1. The paper sums over j != i;
    like the authors' code, the filters here include j = i.
    """
    marginals, _ = run_updates(
        log_probabilities, terms, compatibility, num_iterations=num_iterations, tolerance=tolerance
    )
    return marginals


def run_updates(
    log_probabilities: Tensor,
    terms: Sequence[tuple[Tensor, LinearFilter]],
    compatibility: Tensor | None,
    *,
    num_iterations: int,
    tolerance: float | None,
) -> tuple[Tensor, int]:
    """Return Q, (K, P), and how many updates led to it, with the arguments of `mean_field`."""
    # Labels come first here, where softmax is fast, and last in the filters, where it is a copy
    # of a whole row per pixel.
    marginals = torch.softmax(log_probabilities, dim=0)
    for number in range(num_iterations):
        previous = marginals
        marginals = update(log_probabilities, previous, terms, compatibility)
        # Comparing waits for the device.
        if tolerance is not None:
            change = (marginals - previous).detach().abs().max()
            if change < tolerance:
                return marginals, number + 1
    return marginals, num_iterations


def update(
    log_probabilities: Tensor,
    marginals: Tensor,
    terms: Sequence[tuple[Tensor, LinearFilter]],
    compatibility: Tensor | None,
) -> Tensor:
    """Return Q_(n+1) for Q_n, (K, P), with the arguments of `mean_field`."""
    scores = _scores(log_probabilities, marginals, terms, compatibility)
    return torch.softmax(scores, dim=0)


def log_update(
    log_probabilities: Tensor,
    marginals: Tensor,
    terms: Sequence[tuple[Tensor, LinearFilter]],
    compatibility: Tensor | None,
) -> Tensor:
    """Return log Q_(n+1), which is finite where Q_(n+1) rounds to 0."""
    scores = _scores(log_probabilities, marginals, terms, compatibility)
    return torch.log_softmax(scores, dim=0)


def _scores(
    log_probabilities: Tensor,
    marginals: Tensor,
    terms: Sequence[tuple[Tensor, LinearFilter]],
    compatibility: Tensor | None,
) -> Tensor:
    weights, filters = [weight for weight, _ in terms], [filter_ for _, filter_ in terms]
    messages = _PairwiseScores.apply(marginals, compatibility, filters, *weights)
    return log_probabilities + messages


class _PairwiseScores(torch.autograd.Function):
    """S = sum_m w_m K_m Q or, with a compatibility, -mu S: (K, P) of marginals (K, P).

    Automatic differentiation would keep every K_m Q for the gradient of w_m, and S for that of mu.
    But the filters act on pixels and the weights on labels. So with the gradient g, (K, P), and

        X_m(a, b) = sum_p g(a, p) (K_m Q)(b, p) = sum_p (K_m^T g)(a, p) Q(b, p)

    all gradients follow from K_m^T g, which that of Q takes in any case, and from Q alone:

        Potts:  dw_m(b) = X_m(b, b)                      dQ = sum_m w_m K_m^T g
        mu:     dw_m(b) = -sum_a mu(a, b) X_m(a, b)      dQ = -sum_m w_m mu^T K_m^T g
                dmu(a, b) = -sum_m w_m(b) X_m(a, b)
    """

    @staticmethod
    def forward(
        ctx: Any,
        marginals: Tensor,
        compatibility: Tensor | None,
        filters: Sequence[LinearFilter],
        *weights: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(marginals, compatibility, *weights)
        ctx.filters = filters
        by_pixel = marginals.t().contiguous()
        sums = torch.zeros_like(by_pixel)
        for weight, filter_ in zip(weights, filters, strict=True):
            sums.addcmul_(filter_.product(by_pixel), weight)
        return sums.t() if compatibility is None else -(compatibility @ sums.t())

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        marginals, compatibility, *weights = ctx.saved_tensors
        by_pixel, upstream = marginals.t(), grad_outputs[0].t().contiguous()  # (P, K)
        grad_marginals, grad_compatibility, grad_weights = None, None, []
        for number, (weight, filter_) in enumerate(zip(weights, ctx.filters, strict=True)):
            filtered = filter_.adjoint(upstream)
            if compatibility is None:
                marginals_grad = weight * filtered
                weight_grad = (filtered * by_pixel).sum(dim=0)
            else:
                marginals_grad = -weight * (filtered @ compatibility)
                products = filtered.t() @ by_pixel  # X, (K, K)
                weight_grad = -(compatibility * products).sum(dim=0)
                if ctx.needs_input_grad[1]:
                    grad_compatibility = _sum(grad_compatibility, -weight * products)
            if ctx.needs_input_grad[0]:
                grad_marginals = _sum(grad_marginals, marginals_grad)
            wants_weight = ctx.needs_input_grad[3 + number]
            grad_weights.append(weight_grad.sum_to_size(weight.shape) if wants_weight else None)
        # Laid out as autograd finds the marginals: labels first.
        grad_marginals = None if grad_marginals is None else grad_marginals.t()
        return grad_marginals, grad_compatibility, None, *grad_weights


def _sum(total: Tensor | None, part: Tensor) -> Tensor:
    return part if total is None else total + part
