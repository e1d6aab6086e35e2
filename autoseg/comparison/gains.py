"""What the dense CRF gains over a network alone, class by class, and what a point of it costs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoseg.comparison.rows import BorderResult, ComparisonGroup, NetworkComparison
from autoseg.metrics import mean_gain_interval

MIN_IMAGES = 10
"""Fewer images are not drawn anew: an interval of a handful says nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CRFGain:
    """A network's row with the CRF less the one without it."""

    label: str
    """The network's."""
    miou: float
    """Change of the mean IoU, a fraction."""
    low: float | None
    """Lower end of its 95 % interval; None where the images do not allow one."""
    high: float | None
    """Upper end of that interval."""
    added_ms: float | None
    """Time from image to classes that the CRF adds; None where there is none to compare."""
    is_settled: bool
    """Whether both times had settled."""
    points_per_ms: float | None
    """Points of mIoU for each millisecond added; None where the CRF added no time that shows."""
    num_better: int
    """Classes whose IoU rose."""
    num_worse: int
    """Classes whose IoU fell."""
    classes: tuple[float, ...]
    """Change of each class's IoU; nan for one that does not occur in both."""
    borders: tuple[BorderResult, ...]
    """Change of each score of borders that was asked for."""


def crf_gains(group: ComparisonGroup) -> list[CRFGain]:
    """List what the CRF gains on each network that was scored with it and without it."""
    return [
        _gain(network)
        for network in group.networks
        if len(network.rows) > 1 and network.rows[1].miou_change is not None
    ]


def _gain(network: NetworkComparison) -> CRFGain:
    plain, refined = network.rows
    change = refined.miou_change
    assert change is not None
    interval = gain_between(
        network.image_overlaps(0), network.image_overlaps(1), is_paired=True
    ) or (None, None)
    added = None
    if plain.has_time_here:
        added = refined.total_latency_median_ms - plain.total_latency_median_ms
    before, after = (np.array(iou, np.float64) for iou in network.class_iou)
    classes = after - before
    borders = zip(*network.borders, strict=True) if network.borders else ()
    return CRFGain(
        label=plain.label,
        miou=change,
        low=interval[0],
        high=interval[1],
        added_ms=added,
        is_settled=plain.is_total_latency_settled and refined.is_total_latency_settled,
        points_per_ms=None if added is None or added <= 0 else 100 * change / added,
        num_better=int((classes > 0).sum()),
        num_worse=int((classes < 0).sum()),
        classes=tuple(classes.tolist()),
        borders=tuple(_border_change(*pair) for pair in borders),
    )


def _border_change(before: BorderResult, after: BorderResult) -> BorderResult:
    mean = None
    if before.mean is not None and after.mean is not None:
        mean = after.mean - before.mean
    return BorderResult(
        key=before.key,
        heading=before.heading,
        mean=mean,
        by_class=tuple((np.array(after.by_class) - np.array(before.by_class)).tolist()),
    )


def gain_between(
    before: Sequence[NDArray[np.int64]],
    after: Sequence[NDArray[np.int64]],
    *,
    is_paired: bool,
) -> tuple[float, float] | None:
    """Bound what a second network gains over a first; None if the images do not allow it.

    Args:
        before: For each training of the first the `overlaps` of each image; empty where they were
            not kept.
        after: Those of the second.
        is_paired: Whether the second's trainings are the first's, with something done to their
            predictions.
    """
    if not before or not after:
        return None
    shapes = {images.shape for images in (*before, *after)}
    if len(shapes) > 1 or len(before[0]) < MIN_IMAGES:
        return None
    return mean_gain_interval(before, after, is_paired=is_paired)
