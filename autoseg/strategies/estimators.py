"""Estimators by name."""

from autoseg.config import EstimatorName
from autoseg.strategies.estimator import (
    Estimator,
    SharedEstimator,
    ShortEstimator,
    SupernetEstimator,
)
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
    "supernet": SupernetEstimator,
    "shared": SharedEstimator,
    "parameters": ParametersEstimator,
    "macs": MACsEstimator,
    "jacov": JacovEstimator,
    "nwot": NWOTEstimator,
    "snip": SNIPEstimator,
    "zico": ZiCoEstimator,
}
"""The estimators that `--estimator` knows."""
