"""How alpha and beta are moved: search strategies and their loop."""

from autoseg.config import SEARCH_PRESETS, SearchConfig
from autoseg.strategies.darts import Batch, Darts, StepLosses
from autoseg.strategies.search_loop import STRATEGIES, SearchResult, check_search, search
from autoseg.strategies.single_path import PATH_SAMPLERS, SinglePathTraining
from autoseg.strategies.statistics import alpha_entropy, beta_entropy, near_uniform, skip_share

__all__ = [
    "PATH_SAMPLERS",
    "SEARCH_PRESETS",
    "STRATEGIES",
    "Batch",
    "Darts",
    "SearchConfig",
    "SearchResult",
    "SinglePathTraining",
    "StepLosses",
    "alpha_entropy",
    "beta_entropy",
    "check_search",
    "near_uniform",
    "search",
    "skip_share",
]
