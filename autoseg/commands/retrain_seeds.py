"""How the scores of one network vary over the seeds that it was trained with."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from autoseg.commands.retrain_plan import PlannedTraining
from autoseg.training import TrainingResult


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedScores:
    """The best validation mIoU of each training of one network."""

    mious: tuple[float, ...]
    """Fractions, at least two; none is NaN."""
    seeds: tuple[int, ...]
    """The seed of each."""

    def __str__(self) -> str:
        """Say their mean, their deviation (n - 1) and the seeds."""
        return (
            f"{mean(self.mious):.4f}, standard deviation {stdev(self.mious):.4f}, "
            f"over the seeds {', '.join(map(str, self.seeds))}"
        )


def scores_over_seeds(
    trainings: Sequence[PlannedTraining], finished: Mapping[str, TrainingResult]
) -> dict[str, SeedScores]:
    """Collect the scores of the networks that have several, by label.

    Args:
        trainings: What was to be trained.
        finished: How those that have ended did, by the name of the run folder.
    """
    scored: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for planned in trainings:
        result = finished.get(planned.name)
        if result is not None and not math.isnan(result.best_val_miou):
            scored[planned.choice.label][planned.seed] = result.best_val_miou
    return {
        label: SeedScores(mious=tuple(scores.values()), seeds=tuple(scores))
        for label, scores in scored.items()
        if len(scores) > 1
    }
