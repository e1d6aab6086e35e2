"""Networks side by side: what is measured of each, and the documents that show it."""

from autoseg.comparison.case import Case
from autoseg.comparison.documents import Comparison, group_table_markdown
from autoseg.comparison.earlier import earlier_networks
from autoseg.comparison.grouping import group_networks
from autoseg.comparison.measuring import measure_networks
from autoseg.comparison.searches import search_history
from autoseg.comparison.subject import (
    Subject,
    Trained,
    trained_subject,
    untrained_subject,
)
from autoseg.comparison.timing import TimingConfig
from autoseg.comparison.verdict import verdict
from autoseg.comparison.writing import possible_outputs, write_comparison

__all__ = [
    "Case",
    "Comparison",
    "Subject",
    "TimingConfig",
    "Trained",
    "earlier_networks",
    "group_networks",
    "group_table_markdown",
    "measure_networks",
    "possible_outputs",
    "search_history",
    "trained_subject",
    "untrained_subject",
    "verdict",
    "write_comparison",
]
