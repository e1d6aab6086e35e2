"""What to try next by TPE and NSGA-II, as Optuna computes them."""

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from heapq import nlargest
from itertools import islice

import optuna
import torch
from optuna.samplers import BaseSampler, NSGAIISampler
from optuna.samplers import TPESampler as OptunaTPE
from optuna.trial import FrozenTrial, TrialState

from autoseg.proposers.domain import Domain, Value
from autoseg.proposers.samplers import DomainSampler
from autoseg.proposers.snapshot import Snapshot


class _OptunaSampler(DomainSampler[Value]):
    """What another sampler combines, read as a value; random values as long as it has no model.

    The trial keeps the options of the value that was read, and not those that were combined.
    """

    @abstractmethod
    def inner(self, seed: int) -> BaseSampler:
        """Build the sampler for one trial."""

    def propose(self, study: optuna.Study, trial: FrozenTrial, generator: torch.Generator) -> Value:
        """Let it combine options."""
        inner = self.inner(self.number_for(trial, 1))
        chosen = inner.sample_relative(study, trial, self.distributions)
        return self.domain.decode(chosen) if chosen else self.domain.sample(generator)


MAX_CONSIDERED = 500
"""Trials to which `TPESampler` fits its densities: their cost grows with the number."""

_NUM_GOOD = 25
"""Good trials at most, of which Optuna makes the first density: its `default_gamma`."""

_SCORED = (TrialState.COMPLETE, TrialState.PRUNED)


class Considered:
    """The trials to which TPE fits its densities.

    All up to `MAX_CONSIDERED`; of more those that Optuna calls good, which are the same as among
    all, and the latest of the others, which weigh most among all too. Each trial is ranked once, as
    it arrives.
    """

    def __init__(self) -> None:
        """Begin without trials."""
        self._num_known = 0
        self._newest: FrozenTrial | None = None
        self._scored: list[FrozenTrial] = []
        self._good: list[FrozenTrial] = []

    def among(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return those that are considered, by number.

        Args:
            trials: By number, all of which have ended. Where they do not go on from those of the
                last call, they are looked at anew.
        """
        if not self._go_on(trials):
            self._num_known, self._scored, self._good = 0, [], []
        added = [trial for trial in trials[self._num_known :] if trial.state in _SCORED]
        self._scored += added
        # Of equals the first is taken, as among all: those that arrive are later.
        self._good = nlargest(_NUM_GOOD, [*self._good, *added], key=_rank)
        self._num_known, self._newest = len(trials), trials[-1] if trials else None
        if len(self._scored) <= MAX_CONSIDERED:
            return list(self._scored)
        numbers = {trial.number for trial in self._good}
        others = (trial for trial in reversed(self._scored) if trial.number not in numbers)
        kept = [*self._good, *islice(others, MAX_CONSIDERED - _NUM_GOOD)]
        return sorted(kept, key=lambda trial: trial.number)

    def _go_on(self, trials: Sequence[FrozenTrial]) -> bool:
        """Tell whether the trials begin with those that are known."""
        known = self._num_known
        return known == 0 or (len(trials) >= known and trials[known - 1] is self._newest)


def _rank(trial: FrozenTrial) -> tuple[bool, int, float]:
    """Order trials as Optuna does: complete ones by score, before pruned ones by step and score."""
    if trial.state == TrialState.COMPLETE:
        return (True, 0, trial.values[0])
    step, score = max(trial.intermediate_values.items(), default=(-1, 0.0))
    return (False, step, score)


class TPESampler(_OptunaSampler[Value]):
    """Tree-structured Parzen estimator: options that good values have more often than bad ones.

    Multivariate: the options of a value are drawn together. Of more than `MAX_CONSIDERED` trials
    a part is considered: `Considered`.

    Sources: Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization", section 4;
    Watanabe 2023, "Tree-Structured Parzen Estimator", arXiv 2304.11127.
    """

    def __init__(self, domain: Domain[Value], *, seed: tuple[int, ...], num_random: int) -> None:
        """Take the number of values that are drawn at random before there is a model."""
        super().__init__(domain, seed=seed)
        self._num_startup = self.num_random = num_random
        self._considered = Considered()

    def propose(self, study: optuna.Study, trial: FrozenTrial, generator: torch.Generator) -> Value:
        """Combine options by the trials that are considered."""
        trials = self._considered.among(study.get_trials(deepcopy=False))
        return super().propose(Snapshot(study, trials), trial, generator)

    def inner(self, seed: int) -> BaseSampler:
        """Build Optuna's sampler of this kind."""
        with warnings.catch_warnings():
            # Optuna 4 calls the multivariate one experimental.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return OptunaTPE(
                seed=seed,
                multivariate=True,
                constant_liar=False,
                n_startup_trials=self._num_startup,
            )


class _Generations(NSGAIISampler):
    """NSGA-II in which a trial's number says its generation, whichever process made it."""

    def __init__(
        self, *, population_size: int, seed: int, parents: list[list[FrozenTrial]]
    ) -> None:
        """Take the parents of earlier generations, to which those of a new one are added."""
        super().__init__(population_size=population_size, seed=seed)
        self._parents = parents

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        """Return the generation of a trial that need not be in the storage yet."""
        assert self.population_size is not None
        return trial.number // self.population_size

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """Return the trials of a generation that have scores."""
        assert self.population_size is not None
        first = generation * self.population_size
        trials = study.get_trials(deepcopy=False)[first : first + self.population_size]
        return [trial for trial in trials if trial.state == TrialState.COMPLETE]

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """Return the elite of all earlier generations, by number.

        Optuna keeps it in the storage, and gives it in another order when it was just selected.
        """
        for each in range(len(self._parents), generation + 1):
            elite = self.select_parent(study, each) if each > 0 else []
            self._parents.append(sorted(elite, key=lambda trial: trial.number))
        return self._parents[generation]


class NSGA2Sampler(_OptunaSampler[Value]):
    """NSGA-II: crosses and mutates what few others beat in both the score and the cost.

    Uniform crossover, and each parameter is drawn anew with probability 1 / their number, both
    Optuna's defaults.

    Source: Deb et al. 2002, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", section
    III.
    """

    num_objectives = 2

    def __init__(
        self, domain: Domain[Value], *, seed: tuple[int, ...], population_size: int
    ) -> None:
        """Take the size of a generation, the first of which is drawn at random."""
        super().__init__(domain, seed=seed)
        self.population_size = self.num_random = population_size
        self._parents: list[list[FrozenTrial]] = []

    def inner(self, seed: int) -> BaseSampler:
        """Build Optuna's sampler of this kind, with generations by number."""
        return _Generations(population_size=self.population_size, seed=seed, parents=self._parents)
