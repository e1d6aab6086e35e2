"""Mean field inference in a fully connected conditional random field."""

from collections.abc import Sequence

import torch
from torch import Tensor

from autoseg.crf.linear import LinearFilter


def mean_field(
    log_probabilities: Tensor, terms: Sequence[tuple[Tensor, LinearFilter]], *, num_iterations: int
) -> Tensor:
    """Approximate the marginals of a Potts model with Gaussian pairwise terms.

        Q_0     = softmax(-U)
        Q_(n+1) = softmax(-U + sum_m w_m K_m Q_n)

    All pixels are updated at once, without damping. The Potts penalty, the message of all other
    labels, differs from minus the label's own message by K_m 1, which is the same for every label
    and drops out of the softmax.

    Args:
        log_probabilities: -U, (K, P), for K labels and P pixels.
        terms: The pairwise terms: weight w_m, no dimensions, and filter K_m, i = j included.
        num_iterations: Updates after Q_0.

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
        scores = log_probabilities
        for weight, filter_ in terms:
            scores = scores + (weight * filter_(by_pixel)).t()
        marginals = torch.softmax(scores, dim=0)
    return marginals
