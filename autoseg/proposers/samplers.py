"""What to try next, given what was tried: at random, or by regularised evolution.

A `DomainSampler` is a sampler of Optuna whose proposal is a function of the seed, of the trials
before and of their number: a study that was stopped goes on as if it had not been.
"""

from abc import ABC, abstractmethod
from typing import Any, Generic

import numpy as np
import optuna
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from autoseg.proposers.domain import Domain, Value, draw_below

MAX_TRIES = 100
"""Proposals after which a value that was tried before is taken again: the set is small."""


class DomainSampler(BaseSampler, ABC, Generic[Value]):
    """Proposes a value of a domain that was not tried before, if one turns up soon.

    Instead of one that was tried, since its score would be the same, one is drawn anew, or mutated
    from it by samplers that learn.
    """

    num_objectives = 1
    """Scores of a trial. The first is maximised, the others are minimised."""
    num_random: int | None = None
    """Values that are drawn at random before it learns from scores; None if it never does."""

    def __init__(self, domain: Domain[Value], *, seed: tuple[int, ...]) -> None:
        """Take the domain and the numbers that decide all random choices."""
        self.domain = domain
        self.seed = seed
        self.distributions: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(options) for name, options in domain.options.items()
        }

    @abstractmethod
    def propose(self, study: optuna.Study, trial: FrozenTrial, generator: torch.Generator) -> Value:
        """Return what to try next; it may have been tried before."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return all parameters: they are chosen together."""
        return self.distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the options of what to try next."""
        generator = torch.Generator().manual_seed(self.number_for(trial, 0))
        value = self.propose(study, trial, generator)
        trials = study.get_trials(deepcopy=False)
        tried = [each.params for each in trials]  # few comparisons: dearer to hash than to compare
        has_learnt = self.num_random is not None and len(trials) >= self.num_random
        for _ in range(MAX_TRIES):
            chosen = self.domain.encode(value)
            if chosen not in tried and self.domain.allows(value):
                break
            domain = self.domain
            value = domain.mutate(value, generator) if has_learnt else domain.sample(generator)
        return self.domain.encode(value)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Refuse a parameter that is none of the domain's."""
        raise ValueError(f"{param_name!r} is no parameter of {type(self.domain).__name__}.")

    def number_for(self, trial: FrozenTrial, purpose: int) -> int:
        """Return a seed for one trial and one purpose."""
        seeds = np.random.SeedSequence((*self.seed, trial.number, purpose))
        return int(seeds.generate_state(1, np.uint32)[0])


class RandomSampler(DomainSampler[Value]):
    """Draws each value with the same probability, without replacement.

    Sources: Li and Talwalkar 2019, "Random Search and Reproducibility for Neural Architecture
    Search", arXiv 1902.07638; Yu et al. 2020, "Evaluating the Search Phase of Neural Architecture
    Search", arXiv 1902.08142.
    """

    def propose(self, study: optuna.Study, trial: FrozenTrial, generator: torch.Generator) -> Value:
        """Draw a value of the domain."""
        return self.domain.sample(generator)


class EvolutionSampler(DomainSampler[Value]):
    """Regularised evolution: mutates the best of a tournament; the oldest of a population dies.

    The population are the last values that have a score: each new one takes the place of the
    oldest, however good that was. Failed ones never enter. Of values that a pruner stopped, those
    that were trained for longer are better.

    Source: Real et al. 2019, "Regularized Evolution for Image Classifier Architecture Search",
    arXiv 1802.01548, algorithm 1.
    """

    def __init__(
        self,
        domain: Domain[Value],
        *,
        seed: tuple[int, ...],
        population_size: int,
        tournament_size: int,
    ) -> None:
        """Take the sizes.

        Args:
            domain: What is proposed.
            seed: Decides all random choices.
            population_size: P, and the number of values drawn at random before evolution begins.
            tournament_size: S, drawn from the population with replacement; the best is mutated.
        """
        super().__init__(domain, seed=seed)
        self.population_size = self.num_random = population_size
        self.tournament_size = tournament_size

    def propose(self, study: optuna.Study, trial: FrozenTrial, generator: torch.Generator) -> Value:
        """Return a mutant of the tournament's best, or a random value while there are too few."""
        states = (TrialState.COMPLETE, TrialState.PRUNED)
        scored = study.get_trials(deepcopy=False, states=states)
        population = scored[-self.population_size :]
        if len(population) < self.population_size:
            return self.domain.sample(generator)
        tournament = [
            population[draw_below(len(population), generator)] for _ in range(self.tournament_size)
        ]
        parent = max(tournament, key=lambda each: (each.last_step or 0, each.values[0]))
        return self.domain.mutate(self.domain.decode(parent.params), generator)
