"""Architectures to be ranked: drawn at random, as many from each quarter of the space's paths."""

from dataclasses import dataclass
from statistics import quantiles

import torch

from autoseg.architecture import Architecture, SearchSpace, path_of_rank, sample_architecture
from autoseg.errors import UsageError

NUM_STRATA = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """An architecture that is ranked."""

    number: int
    """Place among the candidates, from 0; candidates of all strata take turns."""
    stratum: int
    """Quarter of all paths, by mean stride, in which its path lies: 0 is the finest."""
    architecture: Architecture

    @property
    def mean_stride(self) -> float:
        """Mean of the path's strides."""
        return mean_stride(self.architecture.path)


def mean_stride(path: tuple[int, ...]) -> float:
    """Return the mean of a path's strides: how coarse it is."""
    return sum(path) / len(path)


def stratum_bounds(space: SearchSpace) -> list[float]:
    """Return the mean strides that cut all paths of the space into four quarters."""
    means = [mean_stride(path_of_rank(space, rank)) for rank in range(space.num_paths())]
    return quantiles(means, n=NUM_STRATA, method="inclusive")


def stratum_of(path: tuple[int, ...], bounds: list[float]) -> int:
    """Return the quarter of the paths in which one lies; 0 is the finest."""
    return sum(mean_stride(path) > bound for bound in bounds)


def draw_candidates(space: SearchSpace, num: int, *, seed: int) -> list[Candidate]:
    """Draw architectures uniformly until each quarter has its share of them.

    Args:
        space: What may be chosen.
        num: How many, a multiple of `NUM_STRATA`.
        seed: Decides everything; fewer candidates are the first of more.

    Raises:
        UsageError: If they cannot be spread evenly.
    """
    if num < NUM_STRATA or num % NUM_STRATA:
        raise UsageError(
            f"--num-architectures {num}: each quarter of the paths gives as many; use "
            f"{max(1, num // NUM_STRATA) * NUM_STRATA}."
        )
    bounds = stratum_bounds(space)
    # Not the seed itself: what trains a supernet by sampled paths must not draw the same ones.
    generator = torch.Generator().manual_seed(1_000_000 + seed)
    strata: list[list[Architecture]] = [[] for _ in range(NUM_STRATA)]
    while min(map(len, strata)) < num // NUM_STRATA:
        drawn = sample_architecture(space, generator)
        stratum = strata[stratum_of(drawn.path, bounds)]
        if drawn not in stratum:
            stratum.append(drawn)
    return [
        Candidate(
            number=number,
            stratum=number % NUM_STRATA,
            architecture=strata[number % NUM_STRATA][number // NUM_STRATA],
        )
        for number in range(num)
    ]
