"""Mean field inference in a fully connected conditional random field."""

from collections.abc import Sequence

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

    Args:
        log_probabilities: -U, (K, P), for K labels and P pixels.
        terms: The pairwise terms: weight w_m, no dimensions or one of each label, (K,), and
            filter K_m, i = j included.
        num_iterations: Updates after Q_0, at most.
        compatibility: mu, penalty of label l at a pixel for label l' at another, (K, K); None for
            Potts.
        tolerance: Stop after an update that changes no probability by this much; None never does.

    Returns:
        Q, (K, P), a distribution over the labels of each pixel.

    Source: Krahenbuhl and Koltun 2011 (arXiv 1210.5644), algorithm 1. The paper sums over j != i;
    like the authors' code, the filters here include j = i.
    """
    # Labels come first here, where softmax is fast, and last in the filters, where it is a copy
    # of a whole row per pixel.
    marginals = torch.softmax(log_probabilities, dim=0)
    for _ in range(num_iterations):
        by_pixel = marginals.t().contiguous()
        messages = torch.zeros_like(by_pixel)
        for weight, filter_ in terms:
            messages = messages + weight * filter_(by_pixel)
        if compatibility is None:
            scores = log_probabilities + messages.t()
        else:
            scores = log_probabilities - compatibility @ messages.t()
        previous, marginals = marginals, torch.softmax(scores, dim=0)
        if tolerance is not None and (marginals - previous).detach().abs().max() < tolerance:
            break
    return marginals
