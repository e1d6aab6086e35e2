"""The samplers of `autoseg.proposers` as strategies: random, evolution, TPE, a predictor."""

from typing import ClassVar

from autoseg.architecture import AnyArchitecture
from autoseg.config import SearchConfig
from autoseg.errors import UsageError
from autoseg.proposers import (
    Domain,
    DomainSampler,
    EvolutionSampler,
    PredictorSampler,
    RandomSampler,
    TPESampler,
    Trial,
    shrunk,
)
from autoseg.strategies.discrete_search import DiscreteSearch
from autoseg.strategies.strategy import SearchTask


class RandomSearch(DiscreteSearch):
    """Draws each architecture with the same probability: what other strategies have to beat."""

    how = "drawn at random"

    @classmethod
    def sampler(
        cls, domain: Domain[AnyArchitecture], config: SearchConfig, seed: tuple[int, ...]
    ) -> DomainSampler[AnyArchitecture]:
        """Build what draws."""
        return RandomSampler(domain, seed=seed)


class EvolutionSearch(DiscreteSearch):
    """Mutates good architectures of a population that ages: `EvolutionSampler`."""

    how = "bred by evolution"
    sampler_settings: ClassVar[frozenset[str]] = frozenset({"population_size", "tournament_size"})

    @classmethod
    def sampler(
        cls, domain: Domain[AnyArchitecture], config: SearchConfig, seed: tuple[int, ...]
    ) -> DomainSampler[AnyArchitecture]:
        """Build what breeds."""
        return EvolutionSampler(
            domain,
            seed=seed,
            population_size=config.population_size,
            tournament_size=config.tournament_size,
        )

    @classmethod
    def check(cls, task: SearchTask) -> None:
        """Refuse a tournament that is larger than the population, too."""
        super().check(task)
        config = task.config
        if config.tournament_size > config.population_size:
            raise UsageError(
                f"tournament_size = {config.tournament_size}, but the population has "
                f"population_size = {config.population_size}; use --tournament-size "
                f"{max(1, config.population_size // 2)}."
            )


class TPESearch(DiscreteSearch):
    """Draws what good architectures have more often than bad ones: `TPESampler`."""

    how = "proposed by TPE"
    sampler_settings: ClassVar[frozenset[str]] = frozenset({"population_size"})

    @classmethod
    def sampler(
        cls, domain: Domain[AnyArchitecture], config: SearchConfig, seed: tuple[int, ...]
    ) -> DomainSampler[AnyArchitecture]:
        """Build what proposes."""
        return TPESampler(domain, seed=seed, num_random=config.population_size)


class PredictorSearch(DiscreteSearch):
    """Tries what a linear model of the scores so far calls best: `PredictorSampler`.

    Of all samples it keeps the one whose score and whose prediction from the other samples' scores
    have the highest mean: among many noisy scores the highest alone is one that had luck.
    """

    how = "proposed by a linear predictor"
    sampler_settings: ClassVar[frozenset[str]] = frozenset({"population_size"})

    @classmethod
    def sampler(
        cls, domain: Domain[AnyArchitecture], config: SearchConfig, seed: tuple[int, ...]
    ) -> DomainSampler[AnyArchitecture]:
        """Build what proposes."""
        return PredictorSampler(domain, seed=seed, num_random=config.population_size)

    @property
    def choice(self) -> str:
        """How the sample was chosen, once there are enough of them to predict from."""
        if len(self._compared()) < self._num_needed:
            return ""
        return (
            "The one is kept whose score and whose prediction from the other samples' scores have "
            "the highest mean. "
        )

    def best(self) -> Trial[AnyArchitecture] | None:
        """Return the sample with the highest mean of score and prediction, of those that were
        trained for longest; by its score alone while there are too few to predict from."""
        compared = self._compared()
        if len(compared) < self._num_needed:
            return super().best()
        domain = self.study.sampler.domain
        means = shrunk(
            domain, [trial.value for trial in compared], [trial.merit[1] for trial in compared]
        )
        return compared[int(means.argmax())]

    @property
    def _num_needed(self) -> int:
        return max(2, self.task.config.population_size)

    def _compared(self) -> list[Trial[AnyArchitecture]]:
        """Return the samples with a score that were trained for longest."""
        scored = [trial for trial in self.study.trials if trial.scores is not None]
        longest = max((trial.merit[0] for trial in scored), default=0)
        return [trial for trial in scored if trial.merit[0] == longest]
