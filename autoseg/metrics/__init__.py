"""Scores of predictions against labels, counted once and read many ways."""

from autoseg.metrics.confusion import ConfusionMatrix, confusion_matrix

__all__ = ["ConfusionMatrix", "confusion_matrix"]
