"""Which samples are worth training on, by the scores that others had after as many steps."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Course:
    """How a sample's training went, where a pruner may stop it."""

    scores: Mapping[int, float]
    """Score at each rung that it reached, by training steps."""
    is_pruned: bool = False
    """True if it was stopped before its last step."""
    bracket: int = 0
    """Which of the pruner's brackets it belongs to."""

    @property
    def num_steps(self) -> int:
        """Training steps of the last score; 0 without one."""
        return max(self.scores, default=0)


@dataclass(frozen=True, slots=True)
class Pruner:
    """Successive halving in its asynchronous form, or several of them: Hyperband.

    At each rung a sample is compared with those of its bracket that were scored there before, and
    goes on while it is among the best 1 / eta. Nobody waits for anybody: the first ones are let
    through with few to compare with, and one that was stopped is never taken up again. The decision
    is a function of the trials so far.

    Sources: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning" (ASHA), arXiv
    1810.05934, algorithm 2, in the variant that stops instead of pausing, as Optuna's
    SuccessiveHalvingPruner; Li et al. 2018, "Hyperband", arXiv 1603.06560, algorithm 1. Optuna's
    own keeps the rungs in the storage while a trial runs; here a trial is written when it has
    ended.
    """

    rungs: tuple[int, ...]
    """Training steps at which a sample is scored, ascending; the last one ends the training."""
    reduction_factor: int
    """Eta."""
    num_brackets: int = 1
    """Bracket b leaves out the first b rungs: 1 is successive halving, `len(rungs)` Hyperband."""

    def rungs_in(self, bracket: int) -> tuple[int, ...]:
        """Return the rungs of a bracket."""
        return self.rungs[bracket:]

    def bracket_of(self, number: int) -> int:
        """Return the bracket of a process's sample number `number`, from 0.

        Brackets get as many samples as in Hyperband, ceil((s_max + 1) eta^s / (s + 1)), which costs
        each about as much; evenly mixed, so that a search may end anywhere.
        """
        highest = self.num_brackets - 1
        sizes = [
            math.ceil(self.num_brackets * self.reduction_factor**s / (s + 1))
            for s in range(highest, -1, -1)
        ]
        order = sorted(
            ((place + 0.5) / size, bracket)
            for bracket, size in enumerate(sizes)
            for place in range(size)
        )
        return order[number % len(order)][1]

    def goes_on(
        self, score: float, rung: int, *, bracket: int, others: Iterable[Course | None]
    ) -> bool:
        """Tell whether a sample is trained on after a rung that is not the last.

        Args:
            score: Its score there; higher is better.
            rung: Training steps of the rung.
            bracket: Its bracket.
            others: How the trials before it went; None for those that have no course.
        """
        scores = [
            other.scores[rung]
            for other in others
            if other is not None and other.bracket == bracket and rung in other.scores
        ]
        return score >= threshold([*scores, score], self.reduction_factor)


def threshold(scores: Sequence[float], reduction_factor: int) -> float:
    """Return the lowest score among the best 1 / eta, of which there is always one."""
    num_kept = max(1, len(scores) // reduction_factor)
    return sorted(scores, reverse=True)[num_kept - 1]


def rungs_between(first: int, last: int, reduction_factor: int) -> tuple[int, ...]:
    """Return first, first * eta, first * eta^2 ... and last.

    A rung that is less than a factor of eta below the last is left out: what it could save is not
    worth a score.
    """
    rungs = []
    while first * reduction_factor <= last:
        rungs.append(first)
        first *= reduction_factor
    return (*rungs, last)
