"""Whether a contestant's scores differ from those of architectures drawn at random."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean, stdev

import numpy as np

from .contestants import DRAWN
from .rows import Row

_MAX_EXACT = 200_000
"""Divisions of the scores up to which all are tried; beyond it, as many are drawn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """One contestant over its seeds."""

    contestant: str
    """Name of the contestant."""
    num: int
    """Seeds."""
    miou: float
    """Mean over the seeds."""
    deviation: float
    """Standard deviation between the seeds; NaN for one."""
    gain: float
    """Mean less that of the contestant compared with; NaN for that one, as in the next two."""
    standard_errors: float
    """The gain in standard errors of the difference of two means with unequal variances (Welch)."""
    p_value: float
    """Two-sided, by permutation: how often as large a gain occurs if the names are shuffled."""
    adjusted_p: float = math.nan
    """That, adjusted for as many comparisons as there are other contestants (Holm)."""
    macs: float
    """Mean over the seeds."""
    parameters: float
    """Mean over the seeds."""
    search_processor_s: float
    """Mean over the seeds."""
    search_steps: float
    """Mean over the seeds."""


def summarise(rows: Sequence[Row], *, against: str = DRAWN) -> list[Summary]:
    """Summarise each contestant, the best mean first.

    Args:
        rows: All rows.
        against: The contestant with which the others are compared.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.contestant, []).append(row)
    others = [row.miou for row in groups.get(against, [])]
    summaries = [
        _summary(name, members, others if name != against else [])
        for name, members in groups.items()
    ]
    adjusted = holm([each.p_value for each in summaries])
    summaries = [replace(each, adjusted_p=p) for each, p in zip(summaries, adjusted, strict=True)]
    return sorted(summaries, key=lambda each: -each.miou)


def _summary(name: str, members: Sequence[Row], others: Sequence[float]) -> Summary:
    scores = [row.miou for row in members]
    gain = fmean(scores) - fmean(others) if others else math.nan
    return Summary(
        contestant=name,
        num=len(scores),
        miou=fmean(scores),
        deviation=stdev(scores) if len(scores) > 1 else math.nan,
        gain=gain,
        standard_errors=gain / standard_error(scores, others),
        p_value=permutation_p_value(scores, others) if others else math.nan,
        macs=fmean(row.macs for row in members),
        parameters=fmean(row.parameters for row in members),
        search_processor_s=fmean(row.search_processor_s for row in members),
        search_steps=fmean(row.search_steps for row in members),
    )


def standard_error(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the standard error of the difference of two means; NaN if one has no deviation.

    Source: Welch 1938, "The significance of the difference between two means when the population
    variances are unequal".
    """
    if min(len(first), len(second)) < 2:
        return math.nan
    error = math.sqrt(stdev(first) ** 2 / len(first) + stdev(second) ** 2 / len(second))
    return error or math.nan


def permutation_p_value(first: Sequence[float], second: Sequence[float]) -> float:
    """Return how often shuffled names give as large a difference of the means, two-sided.

    All divisions of the scores are tried, or 200,000 drawn ones if there are more; the one at hand
    counts among the drawn.

    Source: Pitman 1937, "Significance tests which may be applied to samples from any populations".
    """
    scores = np.array([*first, *second])
    num, total = len(first), len(scores)
    if math.comb(total, num) <= _MAX_EXACT:
        chosen = np.array(list(combinations(range(total), num)))
    else:
        generator = np.random.default_rng(0)
        drawn = [generator.permutation(total)[:num] for _ in range(_MAX_EXACT - 1)]
        chosen = np.array([np.arange(num), *drawn])
    sums = scores[chosen].sum(axis=1)
    gains = np.abs(sums / num - (scores.sum() - sums) / (total - num))
    observed = abs(float(np.mean(first)) - float(np.mean(second)))
    return float(np.mean(gains >= observed - 1e-12))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p for the number of comparisons; NaN is none, and stays.

    Source: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".
    """
    places = [place for place, p in enumerate(p_values) if not math.isnan(p)]
    adjusted, least = list(p_values), 0.0
    for rank, place in enumerate(sorted(places, key=lambda place: p_values[place])):
        least = max(least, min(1.0, (len(places) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted
