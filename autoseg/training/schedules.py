"""Learning rates as functions of progress."""

import math


def cosine(progress: float, *, initial: float, final: float) -> float:
    """Fall from `initial` to `final` along half a cosine.

    Args:
        progress: Share of the training that is done, in [0, 1].
        initial: Value at progress 0.
        final: Value at progress 1.

    Source: Loshchilov and Hutter 2017, "SGDR", arXiv 1608.03983, equation 5, without restarts.
    """
    return final + (initial - final) * (1 + math.cos(math.pi * progress)) / 2


def warm_up(step: int, num_steps: int) -> float:
    """Rise linearly to 1, as a factor on a learning rate.

    Args:
        step: Steps that are done.
        num_steps: Steps until the factor is 1; 0 for none.

    Returns:
        (step + 1) / num_steps, at most 1: the first step already moves.

    Source: Goyal et al. 2017, "Accurate, Large Minibatch SGD", arXiv 1706.02677, section 2.2
    (gradual warm-up), from 0.
    """
    return min(1.0, (step + 1) / num_steps) if num_steps > 0 else 1.0


def poly(progress: float, *, initial: float, power: float) -> float:
    """Fall from `initial` to 0 as (1 - progress) ** power.

    Source: Chen et al. 2017, "DeepLab", arXiv 1606.00915, section 4.1.2, with power 0.9.
    """
    return initial * (1 - progress) ** power
