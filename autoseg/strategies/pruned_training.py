"""Short trainings of which a pruner stops those that fall behind."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, ClassVar

from autoseg.architecture import AnyArchitecture
from autoseg.config import SearchConfig
from autoseg.errors import UsageError
from autoseg.proposers import Course, Pruner, Trial, rungs_between
from autoseg.strategies.estimator import Score, ShortEstimator
from autoseg.strategies.short_training import ShortTraining
from autoseg.strategies.strategy import Phase, SearchTask, StepLoss
from autoseg.training import DivergedError


class PrunedEstimator(ShortEstimator):
    """Trains each architecture from rung to rung, as long as the pruner lets it.

    A score in the middle of a cosine says little, since the learning rate is high there: each rung
    ends a cycle of the learning rate, and the next begins anew.
    """

    reads: ClassVar[frozenset[str]] = ShortEstimator.reads | {"min_steps", "reduction_factor"}

    def __init__(self, task: SearchTask, trials: Callable[[], Sequence[Trial[AnyArchitecture]]]):
        """Take a function that returns the trials so far, with which samples are compared."""
        super().__init__(task)
        self._trials = trials
        self._pruner = pruner_of(task.config)
        self._num_scored = 0
        self._scores: dict[int, Score] = {}  # of the present sample, by rung
        self._failure: str | None = None

    @classmethod
    def check(cls, config: SearchConfig) -> None:
        """Refuse rungs of which there is one alone, and steps that are too few for one sample."""
        super().check(config)
        pruner_of(config)

    @property
    def num_steps(self) -> int:
        """Training steps of all samples; the most that there can be, where samples are counted."""
        config = self.task.config
        return config.arch_steps or config.num_samples * config.sample_steps

    @property
    def is_over(self) -> bool:
        """True if samples are counted, and all have been scored."""
        config = self.task.config
        is_last = self._num_scored >= config.num_samples
        return is_last and not config.arch_steps and config.budget is None

    @property
    def words(self) -> str:
        """How it scored."""
        first, last = self._pruner.rungs[0], self._pruner.rungs[-1]
        return f"and trained for {first:,} to {last:,} steps (--pruner {self.task.config.pruner})"

    def can_score(self, share: Fraction) -> bool:
        """At the end of the budget, a sample keeps the score of the last rung that it reached."""
        return super().can_score(share) or (share == 1 and bool(self._scores))

    def step(self, architecture: AnyArchitecture, share: Fraction) -> list[StepLoss]:
        """Make a training step, and at a rung decide whether it goes on."""
        losses = super().step(architecture, share)
        training = self._training
        assert training is not None
        if not self.is_trained and training.num_done in self._rungs:
            self.is_trained = not self._goes_on(training)
        return losses

    def score(self, architecture: AnyArchitecture, step: int, *, phase: Phase) -> Score:
        """Score the network if it was trained to the end; else return its last rung's score."""
        assert self._training is not None
        scores, failure, bracket = self._scores, self._failure, self._bracket
        is_done, num_done = self._training.is_done, self._training.num_done
        self._scores, self._failure = {}, None
        self._num_scored += 1
        if is_done:
            scores[num_done] = super().score(architecture, step, phase=phase)
        else:
            self._drop()
        if failure is not None:
            raise DivergedError(failure)
        last = scores[max(scores)]
        course = Course(
            scores={rung: s.value for rung, s in scores.items() if not math.isnan(s.value)},
            is_pruned=not is_done,
            bracket=bracket,
        )
        return last._replace(course=course)

    def state_dict(self) -> dict[str, Any]:
        """Return the training of the present architecture, and its scores so far."""
        return {
            **super().state_dict(),
            "num_scored": self._num_scored,
            "scores": [
                [rung, score.value, score.num_averaged] for rung, score in self._scores.items()
            ],
        }

    def load_state_dict(self, state: dict[str, Any], architecture: AnyArchitecture) -> None:
        """Go back to a state that `state_dict` returned."""
        self._num_scored = state["num_scored"]  # decides the rungs
        self._scores = {rung: Score(value, number) for rung, value, number in state["scores"]}
        self._failure = None
        super().load_state_dict(state, architecture)

    @property
    def _bracket(self) -> int:
        return self._pruner.bracket_of(self._num_scored)

    @property
    def _rungs(self) -> tuple[int, ...]:
        return self._pruner.rungs_in(self._bracket)

    def _begin(self, architecture: AnyArchitecture) -> ShortTraining:
        return ShortTraining(self.task, architecture, cycles=self._rungs)

    def _goes_on(self, training: ShortTraining) -> bool:
        """Score the present sample at a rung; False if that fails, or is not good enough."""
        rung = training.num_done
        self._failure = training.failure()
        if self._failure is not None:
            return False
        try:
            score = self._validate(training.network, rung, _unseen)
        except DivergedError as error:
            self._failure = error.cause
            return False
        self._scores[rung] = score
        return self._pruner.goes_on(
            score.value,
            rung,
            bracket=self._bracket,
            others=(trial.course for trial in self._trials()),
        )


def pruner_of(config: SearchConfig) -> Pruner:
    """Build the pruner that the settings name.

    Raises:
        UsageError: If a sample would be scored at its end alone, so that none could be stopped.
    """
    eta = config.reduction_factor
    first = config.min_steps or max(1, config.sample_steps // eta**2)
    rungs = rungs_between(first, config.sample_steps, eta)
    if len(rungs) == 1:
        raise UsageError(
            f"min_steps = {first}, reduction_factor = {eta} and sample_steps = "
            f"{config.sample_steps}: no sample would be scored before its end, so that "
            f"--pruner {config.pruner} could stop none; use --sample-steps {first * eta} or more"
            f"{_or_fewer_steps(config.sample_steps // eta)}."
        )
    return Pruner(
        rungs=rungs,
        reduction_factor=eta,
        num_brackets=len(rungs) if config.pruner == "hyperband" else 1,
    )


def _or_fewer_steps(num_steps: int) -> str:
    return f", or --min-steps {num_steps} or fewer" if num_steps else ""


@contextmanager
def _unseen(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show nothing of a scoring that takes place inside a step."""
    yield lambda done, total: None
