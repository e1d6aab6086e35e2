"""Scores of predictions against labels, counted once and read many ways."""

from autoseg.metrics.border_scores import BorderScore, border_scores
from autoseg.metrics.calibration import (
    Calibration,
    CalibrationResult,
    Confused,
    mean_calibration,
    worst_confusions,
)
from autoseg.metrics.collapse import best_constant, doubt_about
from autoseg.metrics.confusion import ConfusionMatrix, confusion_matrix
from autoseg.metrics.paired import gain_interval, mean_gain_interval, overlaps
from autoseg.metrics.rank_correlation import kendall_interval, kendall_tau

__all__ = [
    "BorderScore",
    "Calibration",
    "CalibrationResult",
    "Confused",
    "ConfusionMatrix",
    "best_constant",
    "border_scores",
    "confusion_matrix",
    "doubt_about",
    "gain_interval",
    "kendall_interval",
    "kendall_tau",
    "mean_calibration",
    "mean_gain_interval",
    "overlaps",
    "worst_confusions",
]
