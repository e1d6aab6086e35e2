"""Estimators by name."""

from collections.abc import Callable, Sequence

from autoseg.architecture import AnyArchitecture
from autoseg.config import EstimatorName, SearchConfig
from autoseg.proposers import Trial
from autoseg.strategies.estimator import (
    Estimator,
    SharedEstimator,
    ShortEstimator,
    SupernetEstimator,
)
from autoseg.strategies.finetuned import FinetunedEstimator
from autoseg.strategies.pruned_training import PrunedEstimator
from autoseg.strategies.strategy import SearchTask
from autoseg.strategies.training_speed import SpeedEstimator
from autoseg.strategies.zero_cost_estimator import (
    JacovEstimator,
    MACsEstimator,
    NWOTEstimator,
    ParametersEstimator,
    SNIPEstimator,
    ZiCoEstimator,
)

ESTIMATORS: dict[EstimatorName, type[Estimator]] = {
    "short": ShortEstimator,
    "speed": SpeedEstimator,
    "supernet": SupernetEstimator,
    "shared": SharedEstimator,
    "finetuned": FinetunedEstimator,
    "parameters": ParametersEstimator,
    "macs": MACsEstimator,
    "jacov": JacovEstimator,
    "nwot": NWOTEstimator,
    "snip": SNIPEstimator,
    "zico": ZiCoEstimator,
}
"""The estimators that `--estimator` knows."""


def estimator_type(config: SearchConfig) -> type[Estimator]:
    """Return the class of the estimator that the settings name."""
    is_pruned = config.estimator == "short" and config.pruner is not None
    return PrunedEstimator if is_pruned else ESTIMATORS[config.estimator]


def build_estimator(
    task: SearchTask, trials: Callable[[], Sequence[Trial[AnyArchitecture]]]
) -> Estimator:
    """Build the estimator that the settings name; a pruner asks for the trials so far."""
    chosen = estimator_type(task.config)
    return PrunedEstimator(task, trials) if chosen is PrunedEstimator else chosen(task)
