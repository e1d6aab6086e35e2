"""The scores of borders that a request asks for."""

from collections.abc import Callable
from functools import partial

from autoseg.config.borders import BorderConfig
from autoseg.metrics import BorderScore, border_scores


def chosen_borders(choice: BorderConfig) -> Callable[[int, int], list[BorderScore]]:
    """Return what begins the chosen scores for a number of classes and an ignored label."""
    return partial(
        border_scores,
        trimap=choice.trimap,
        boundary_iou=choice.boundary_iou,
        surface_tolerance=choice.surface_tolerance,
    )
