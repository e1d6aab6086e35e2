"""Settings as values: what can be said to a search, a training or a command, and its ranges.

A leaf that every folder may import. It imports no torch, so that a command can explain itself at
once.
"""

from autoseg.config.data import DataConfig
from autoseg.config.durations import nanoseconds_of, short_latency
from autoseg.config.field_types import FieldType, field_types, require_in_range, values_of
from autoseg.config.losses import ClassWeightRule, LossConfig, LossName
from autoseg.config.quantities import number_of, short_number
from autoseg.config.ranges import (
    Count,
    CountOrNone,
    Factor,
    Pixels,
    Range,
    Rate,
    Seed,
    Share,
    Weight,
)
from autoseg.config.recipe import Precision, RecipeConfig
from autoseg.config.request import Difference, Request, read_values
from autoseg.config.search import (
    PREDICTOR_SETTINGS,
    PRESET_ARCH_STEPS,
    SEARCH_PRESETS,
    BetaNorm,
    EstimatorName,
    PathRule,
    PrunerName,
    SearchConfig,
)
from autoseg.config.training import RETRAIN_PRESETS, NetworkSizes, RetrainPreset, TrainingConfig

__all__ = [
    "PREDICTOR_SETTINGS",
    "PRESET_ARCH_STEPS",
    "RETRAIN_PRESETS",
    "SEARCH_PRESETS",
    "BetaNorm",
    "ClassWeightRule",
    "Count",
    "CountOrNone",
    "DataConfig",
    "Difference",
    "EstimatorName",
    "Factor",
    "FieldType",
    "LossConfig",
    "LossName",
    "NetworkSizes",
    "PathRule",
    "Pixels",
    "Precision",
    "PrunerName",
    "Range",
    "Rate",
    "RecipeConfig",
    "Request",
    "RetrainPreset",
    "SearchConfig",
    "Seed",
    "Share",
    "TrainingConfig",
    "Weight",
    "field_types",
    "nanoseconds_of",
    "number_of",
    "read_values",
    "require_in_range",
    "short_latency",
    "short_number",
    "values_of",
]
