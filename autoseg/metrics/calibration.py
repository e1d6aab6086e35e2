"""Whether a network's probabilities are the shares of pixels that it gets right."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NUM_BINS = 15
"""Bins of equal width, as in Guo et al. 2017."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationResult:
    """How sure predictions were, and how right."""

    error: float
    """Expected calibration error: over the bins the mean of |accuracy - confidence|, weighted by
    the pixels in them; 0 is perfect."""
    confidence: float
    """Mean probability of the predicted class."""
    accuracy: float
    """Share of right pixels."""
    bins: tuple[tuple[int, float, float], ...]
    """For each bin the number of pixels, their mean confidence and accuracy (nan where there are
    none); bin i holds confidences in (i / n, (i + 1) / n]."""


class Calibration:
    """Counts pixels by how sure the prediction is; sums over images stay sums.

    Pixels without a label count nowhere.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.
    """

    def __init__(self, ignore_index: int) -> None:
        """Start with no pixel."""
        self._ignore_index = ignore_index
        self._sums = np.zeros((3, NUM_BINS))  # pixels, confidence, right ones

    def update(self, pred: Tensor, confidence: Tensor, target: Tensor) -> None:
        """Count one more image.

        Args:
            pred: Predicted class of each pixel, (H, W).
            confidence: Its probability, in [0, 1], (H, W).
            target: True class, or the ignored label, (H, W).
        """
        is_known = target != self._ignore_index
        # float64: float32 stops adding ones at 2**24 pixels.
        sure = confidence[is_known].double()
        right = (pred == target)[is_known].double()
        places = (sure * NUM_BINS).ceil().long().clamp(1, NUM_BINS) - 1
        for row, weights in enumerate((torch.ones_like(sure), sure, right)):
            sums = torch.bincount(places, weights=weights, minlength=NUM_BINS)
            self._sums[row] += sums.cpu().numpy()

    def add_up(self, total: Callable[[Tensor], Tensor]) -> None:
        """Replace what was counted by its sum over several processes, which `total` takes."""
        self._sums = total(torch.from_numpy(self._sums)).numpy()

    def result(self) -> CalibrationResult:
        """Return what was counted; nan where there is no pixel."""
        counts, confidence, right = self._sums
        total = counts.sum()
        return CalibrationResult(
            error=_share(np.abs(right - confidence).sum(), total),
            confidence=_share(confidence.sum(), total),
            accuracy=_share(right.sum(), total),
            bins=tuple(
                (int(count), _share(sure, count), _share(hit, count))
                for count, sure, hit in self._sums.T
            ),
        )


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")


def mean_calibration(results: Sequence[CalibrationResult]) -> CalibrationResult:
    """Average several trainings of one network; their bins are put together pixel by pixel."""
    counts = np.array([[count for count, *_ in each.bins] for each in results])
    values = np.nan_to_num([[pair for _, *pair in each.bins] for each in results])
    sums = (counts[..., None] * values).sum(axis=0)
    return CalibrationResult(
        error=float(np.mean([each.error for each in results])),
        confidence=float(np.mean([each.confidence for each in results])),
        accuracy=float(np.mean([each.accuracy for each in results])),
        bins=tuple(
            (int(count), _share(sure, count), _share(hit, count))
            for count, (sure, hit) in zip(counts.sum(axis=0), sums, strict=True)
        ),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Confused:
    """A class that is taken for another one."""

    true: int
    """The class."""
    predicted: int
    """What it is taken for."""
    share: float
    """Share of its pixels that are."""


def worst_confusions(counts: NDArray[np.int64], *, limit: int) -> tuple[Confused, ...]:
    """List which class is taken for which other one, the largest share of its pixels first.

    Args:
        counts: Pixels by true class (row) and predicted class (column), (K, K).
        limit: How many at most.

    Returns:
        Pairs that occur; of equal shares the one with the earlier true, then predicted class.
    """
    totals = counts.sum(axis=1)
    pairs = [
        Confused(
            true=int(true), predicted=int(pred), share=float(counts[true, pred] / totals[true])
        )
        for true, pred in zip(*np.nonzero(counts), strict=True)
        if true != pred
    ]
    return tuple(sorted(pairs, key=lambda pair: -pair.share)[:limit])
