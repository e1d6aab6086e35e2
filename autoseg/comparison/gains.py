"""What the dense CRF or several views gain, class by class, and what a point of it costs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoseg.comparison.rows import BorderResult, ComparisonGroup, NetworkComparison
from autoseg.metrics import mean_gain_interval

MIN_IMAGES = 10
"""Fewer images are not drawn anew: an interval of a handful says nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gain:
    """A network's row with a setting less the one without it."""

    label: str
    """Name of the network; of several views, with them."""
    miou: float
    """Change of the mean IoU, a fraction."""
    low: float | None
    """Lower end of its 95 % interval; None where the images do not allow one."""
    high: float | None
    """Upper end of that interval."""
    added_ms: float | None
    """Time from image to classes that is added; None where there is none to compare."""
    is_settled: bool
    """Whether both times had settled."""
    points_per_ms: float | None
    """Points of mIoU for each millisecond added; None where no time shows."""
    num_better: int
    """Classes whose IoU rose."""
    num_worse: int
    """Classes whose IoU fell."""
    classes: tuple[float, ...]
    """Change of each class's IoU; nan for one that does not occur in both."""
    borders: tuple[BorderResult, ...]
    """Change of each score of borders that was asked for."""


def crf_gains(group: ComparisonGroup) -> list[Gain]:
    """List what the CRF gains on each network that was scored with it and without it."""
    return [
        _gain(network, 0, network, 1)
        for network in group.networks
        if len(network.rows) > 1 and network.rows[0].miou is not None
    ]


def view_gains(group: ComparisonGroup) -> list[Gain]:
    """List what several views of each image gain, without the CRF, over the image alone."""
    alone = {
        _training(network): network for network in group.networks if network.rows[0].views is None
    }
    return [
        _gain(alone[_training(network)], 0, network, 0)
        for network in group.networks
        if network.rows[0].views is not None
        and network.rows[0].miou is not None
        and _training(network) in alone
    ]


def _training(network: NetworkComparison) -> tuple:
    """Return what two rows share that differ by their views alone."""
    row = network.rows[0]
    built = row.network, row.width, row.filter_multiplier, row.form
    return *built, row.weights, row.training_sha256, row.run, row.seed, row.seeds


def _gain(without: NetworkComparison, first: int, network: NetworkComparison, second: int) -> Gain:
    """Compare a row of a network with one of the same network; both by number."""
    plain, changed = without.rows[first], network.rows[second]
    assert plain.miou is not None and changed.miou is not None
    overlaps = without.image_overlaps(first), network.image_overlaps(second)
    interval = gain_between(*overlaps, is_paired=True) or (None, None)
    added = None
    if plain.has_time_here and changed.has_time_here:
        added = changed.total_latency_median_ms - plain.total_latency_median_ms
    ious = without.class_iou[first], network.class_iou[second]
    before, after = (np.array(iou, np.float64) for iou in ious)
    classes, miou = after - before, changed.miou - plain.miou
    borders = ()
    if without.borders and network.borders:
        borders = zip(without.borders[first], network.borders[second], strict=True)
    return Gain(
        label=changed.label,
        miou=miou,
        low=interval[0],
        high=interval[1],
        added_ms=added,
        is_settled=plain.is_total_latency_settled and changed.is_total_latency_settled,
        points_per_ms=None if added is None or added <= 0 else 100 * miou / added,
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
