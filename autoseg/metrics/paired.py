"""How far the images at hand can tell two predictions of them apart."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_NUM_RESAMPLES = 1000
_LEVEL = 0.95


def overlaps(counts: Tensor) -> Tensor:
    """Read from a confusion matrix all that the mean IoU needs; sums over images stay sums.

    Args:
        counts: Pixels by true class (row) and predicted class (column), int64, (K, K).

    Returns:
        Intersection and union of the truth and the prediction of each class, int64, (2, K).
    """
    hit = counts.diagonal()
    return torch.stack([hit, counts.sum(0) + counts.sum(1) - hit])


def gain_interval(
    before: NDArray[np.int64], after: NDArray[np.int64], *, seed: int = 0
) -> tuple[float, float]:
    """Bound what a second prediction gains in mean IoU, over images drawn anew.

    The images are drawn with replacement, 1000 times, the same ones for both predictions, and each
    draw has one mean IoU over all its pixels. Images count as independent of each other: of frames
    of one video, the true interval is wider.

    Args:
        before: The `overlaps` of each image, (num_images, 2, K).
        after: Those of the second prediction of the same images, in the same order.
        seed: Seed of the draws.

    Returns:
        The 95 % interval of the second's mean IoU less the first's.

    Raises:
        ValueError: If the two are not of the same images and classes, or no pixel is counted.

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3.
    """
    if before.shape != after.shape or before.sum() == 0:
        raise ValueError(
            f"gain_interval: counts are {before.shape} and {after.shape}; expected two "
            "(num_images, 2, K) of the same images, with some pixel counted."
        )
    has_pixels = before.sum(axis=(1, 2)) > 0  # a draw of images without a label has no score
    num_images = int(has_pixels.sum())
    draws = np.random.default_rng(seed).multinomial(
        num_images, np.full(num_images, 1 / num_images), size=_NUM_RESAMPLES
    )
    gains = _mean_iou(draws, after[has_pixels]) - _mean_iou(draws, before[has_pixels])
    low, high = np.quantile(gains, ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2))
    return float(low), float(high)


def _mean_iou(draws: NDArray[np.int64], images: NDArray[np.int64]) -> NDArray[np.float64]:
    """Score each draw, (num_draws, num_images) of how often an image is in it."""
    # float64 holds every sum of pixels exactly, and multiplies matrices fast.
    drawn = draws.astype(np.float64) @ images.reshape(len(images), -1).astype(np.float64)
    hit, union = np.split(drawn, 2, axis=1)
    occurs = union > 0
    iou = np.divide(hit, union, out=np.zeros_like(hit), where=occurs)
    return iou.sum(axis=1) / occurs.sum(axis=1)
