"""How a space is explored: search strategies and their loop."""

from autoseg.strategies.darts import Darts, StepLosses
from autoseg.strategies.darts_search import DartsSearch
from autoseg.strategies.discrete_search import DiscreteSearch
from autoseg.strategies.estimator import Estimator, ShortEstimator
from autoseg.strategies.estimators import ESTIMATORS
from autoseg.strategies.pruned_training import PrunedEstimator
from autoseg.strategies.registry import SHAREABLE, STRATEGIES
from autoseg.strategies.search_loop import SearchResult, search
from autoseg.strategies.single_path import PATH_SAMPLERS, SinglePathTraining
from autoseg.strategies.space_kinds import TRELLIS_ONLY, trellis_only
from autoseg.strategies.statistics import skip_share
from autoseg.strategies.strategy import (
    Batch,
    Report,
    Round,
    SearchTask,
    StepLoss,
    Strategy,
)

__all__ = [
    "ESTIMATORS",
    "PATH_SAMPLERS",
    "SHAREABLE",
    "STRATEGIES",
    "TRELLIS_ONLY",
    "Batch",
    "Darts",
    "DartsSearch",
    "DiscreteSearch",
    "Estimator",
    "PrunedEstimator",
    "Report",
    "Round",
    "SearchResult",
    "SearchTask",
    "ShortEstimator",
    "SinglePathTraining",
    "StepLoss",
    "StepLosses",
    "Strategy",
    "search",
    "skip_share",
    "trellis_only",
]
