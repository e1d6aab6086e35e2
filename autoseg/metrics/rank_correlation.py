"""How far two scores of the same things put them in the same order."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Kendall's tau-b: 1 for the same order, -1 for the opposite one, about 0 for chance.

    Of all pairs, those that both scores put in the same order less those that they put in opposite
    ones, over the geometric mean of the numbers of pairs that each of them does not tie.

    Args:
        first: A score of each thing.
        second: Another one, in the same order.

    Returns:
        In [-1, 1]; NaN where one of the scores ties all things.

    Raises:
        ValueError: If the lengths differ or a score is NaN.

    Source: Kendall 1945, "The treatment of ties in ranking problems", Biometrika 33.
    """
    one, other = (np.asarray(scores, dtype=np.float64) for scores in (first, second))
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(
            f"kendall_tau: scores of shapes {one.shape} and {other.shape}; it takes two sequences "
            "of one length."
        )
    if np.isnan(one).any() or np.isnan(other).any():
        raise ValueError("kendall_tau: a score is NaN, which has no rank; leave the thing out.")
    return _tau(_orders(one), _orders(other))


def kendall_interval(
    first: Sequence[float],
    second: Sequence[float],
    *,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return an interval of Kendall's tau-b by bootstrap over the things.

    Things are drawn with replacement, each with its two scores; a thing ties with itself. Draws in
    which a score ties all of them are left out.

    Args:
        first: A score of each thing.
        second: Another one, in the same order.
        level: Share of the draws that lie within.
        num_resamples: Draws.
        seed: Seed of the draws.

    Returns:
        The lower and the upper end; two NaN where no draw has a tau.

    Source: Efron 1979, "Bootstrap Methods: Another Look at the Jackknife" (percentile interval).
    """
    orders = [_orders(np.asarray(scores, dtype=np.float64)) for scores in (first, second)]
    generator = np.random.default_rng(seed)
    taus = []
    for _ in range(num_resamples):
        drawn = generator.integers(len(first), size=len(first))
        tau = _tau(*(order[np.ix_(drawn, drawn)] for order in orders))
        if not math.isnan(tau):
            taus.append(tau)
    if not taus:
        return math.nan, math.nan
    low, high = np.quantile(taus, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _orders(scores: NDArray[np.float64]) -> NDArray[np.int8]:
    """Return for each pair, (n, n), whether the row's score is above (1), below (-1) or equal."""
    return np.sign(scores[:, None] - scores[None, :]).astype(np.int8)


def _tau(one: NDArray[np.int8], other: NDArray[np.int8]) -> float:
    """Compute tau-b from the orders of all pairs; each pair is counted twice throughout."""
    num_untied = np.count_nonzero(one), np.count_nonzero(other)
    if min(num_untied) == 0:
        return math.nan
    agreement = int((one * other).sum(dtype=np.int64))
    return agreement / math.sqrt(num_untied[0] * num_untied[1])
