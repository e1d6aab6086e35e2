"""How far each scorer agrees with the retrained scores."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from autoseg.metrics import kendall_interval, kendall_tau

from .candidates import NUM_STRATA
from .rows import Score

Scores = Mapping[int, float]
"""Scores by the candidate's number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """One scorer, with one seed, against the truth."""

    scorer: str
    """Name of the scorer, with the steps where it trains."""
    seed: int
    """Seed of the scorer."""
    num: int
    """Architectures that both have scored."""
    tau: float
    """Kendall's tau-b; NaN where it is not defined."""
    low: float
    """Lower end of its 95 % interval, by bootstrap over architectures."""
    high: float
    """Upper end."""
    tau_within: float
    """The same over pairs of one stratum only: what is left where strides are about equal."""
    stratum_taus: tuple[float, ...]
    """Tau in each stratum, the finest first."""
    stratum_means: tuple[float, ...]
    """Mean score in each stratum, the finest first: which strides the scorer prefers."""
    mean_of_best: float
    """Mean of the truth over the quarter of the architectures that the scorer ranks highest, at
    least one: what a search that trusts it keeps."""
    seconds: float
    """Time of all scores together."""


def by_scorer(scores: Sequence[Score]) -> dict[tuple[str, int], list[Score]]:
    """Group scores by scorer and seed, in the order in which they came."""
    groups: dict[tuple[str, int], list[Score]] = {}
    for score in scores:
        groups.setdefault((score.scorer, score.seed), []).append(score)
    return groups


def true_scores(
    scores: Sequence[Score], truth: str, *, without_seed: int | None = None
) -> dict[int, float]:
    """Average the retrained scores of each candidate over the seeds that all candidates have.

    Args:
        scores: All that are known.
        truth: Name of the scorer that is believed.
        without_seed: A seed to leave out, to compare it with the others.
    """
    groups = [
        {score.number: score.score for score in group}
        for (scorer, seed), group in by_scorer(scores).items()
        if scorer == truth and seed != without_seed
    ]
    numbers = {number for group in groups for number in group}
    complete = [group for group in groups if group.keys() == numbers]
    return {
        number: fmean(group[number] for group in complete) for number in sorted(numbers) if complete
    }


def agreements(scores: Sequence[Score], truth: str) -> list[Agreement]:
    """Compare every scorer with the truth, and each seed of the truth with its other seeds."""
    compared = []
    for (scorer, seed), group in by_scorer(scores).items():
        true = true_scores(scores, truth, without_seed=seed if scorer == truth else None)
        common = [score for score in group if score.number in true]
        if len(common) < 2:
            continue
        own = {score.number: score.score for score in common}
        strata = {score.number: score.stratum for score in common}
        low, high = kendall_interval(list(own.values()), [true[number] for number in own])
        members = [
            {number: own[number] for number in own if strata[number] == stratum}
            for stratum in range(NUM_STRATA)
        ]
        compared.append(
            Agreement(
                scorer=scorer,
                seed=seed,
                num=len(own),
                tau=_tau(own, true),
                low=low,
                high=high,
                tau_within=within_strata(own, true, strata),
                stratum_taus=tuple(_tau(each, true) for each in members),
                stratum_means=tuple(fmean(each.values()) if each else math.nan for each in members),
                mean_of_best=fmean(true[number] for number in best_quarter(own)),
                seconds=sum(score.seconds for score in group),
            )
        )
    return compared


def best_quarter(own: Scores) -> list[int]:
    """Return the quarter of the candidates with the highest scores, at least one; ties in order."""
    return sorted(own, key=lambda number: -own[number])[: max(1, len(own) // 4)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """How far the truth differs between architectures, and between seeds of one."""

    num: int
    """Architectures that were retrained more than once."""
    mean: float
    """Mean score."""
    architectures: float
    """Standard deviation between architectures, what seeds add to it taken off."""
    seeds: float
    """Standard deviation between the seeds of one architecture."""


def spread(scores: Sequence[Score], truth: str) -> Spread | None:
    """Estimate both by an analysis of variance; None if nothing was retrained twice.

    Source: Searle et al. 1992, "Variance Components", section 4.3 (one random factor, as many
    scores of each architecture: those that have fewer than the most are left out).
    """
    groups: dict[int, list[float]] = {}
    for score in scores:
        if score.scorer == truth:
            groups.setdefault(score.number, []).append(score.score)
    num_seeds = max(map(len, groups.values()), default=0)
    members = [group for group in groups.values() if len(group) == num_seeds]
    if num_seeds < 2 or len(members) < 2:
        return None
    between_seeds = fmean(variance(group) for group in members)
    between_means = variance([fmean(group) for group in members])
    return Spread(
        num=len(members),
        mean=fmean(value for group in members for value in group),
        architectures=math.sqrt(max(0.0, between_means - between_seeds / num_seeds)),
        seeds=math.sqrt(between_seeds),
    )


def within_strata(own: Scores, true: Scores, strata: Mapping[int, int]) -> float:
    """Return tau over the pairs of candidates that share a stratum; NaN if there are none."""
    signs = [
        (_sign(own[one] - own[other]), _sign(true[one] - true[other]))
        for one in own
        for other in own
        if one < other and strata[one] == strata[other]
    ]
    untied = sum(a != 0 for a, _ in signs), sum(b != 0 for _, b in signs)
    if min(untied) == 0:
        return math.nan
    return sum(a * b for a, b in signs) / math.sqrt(untied[0] * untied[1])


def _tau(own: Scores, true: Scores) -> float:
    if len(own) < 2:
        return math.nan
    return kendall_tau(list(own.values()), [true[number] for number in own])


def _sign(difference: float) -> int:
    return (difference > 0) - (difference < 0)
