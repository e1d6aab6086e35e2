"""How far the images at hand can tell two predictions of them apart."""

from collections.abc import Sequence

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
    gains, _ = _drawn_gains([before], [after], seed=seed)
    low, high = np.quantile(gains, ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2))
    return float(low), float(high)


def mean_gain_interval(
    before: Sequence[NDArray[np.int64]],
    after: Sequence[NDArray[np.int64]],
    *,
    is_paired: bool = False,
    seed: int = 0,
) -> tuple[float, float]:
    """Bound what a second network gains in mean IoU, over other images and other trainings of both.

    Each network's score is the mean over its trainings. The variance of the difference is the sum
    of two: that over images drawn anew, as in `gain_interval`, and that over trainings, which is
    each network's variance over its seeds by their number. The interval is Student's, with
    Welch's degrees of freedom: few seeds make it wide. A network of one training is taken to vary
    as the other does; of one training each, the interval is `gain_interval`'s, over images alone.

    Args:
        before: For each training of the first network the `overlaps` of each image,
            (num_images, 2, K); at least one training.
        after: Those of the second network, on the same images in the same order.
        is_paired: Whether the second's trainings are the first's, in the same order, with something
            done to their predictions: what varies is then the gain of each.
        seed: Seed of the draws.

    Returns:
        The 95 % interval of the second's mean score less the first's.

    Raises:
        ValueError: If they are not of the same images and classes, or no pixel is counted.

    Source: Welch 1947, "The generalization of 'Student's' problem when several different population
    variances are involved"; Satterthwaite 1946 for the sum of more than two variances.
    """
    if len(before) == len(after) == 1:
        return gain_interval(before[0], after[0], seed=seed)
    gains, scores = _drawn_gains(before, after, seed=seed)
    gain = float(np.mean(scores[1]) - np.mean(scores[0]))
    over = (scores[1] - scores[0],) if is_paired else scores
    # Of each: the variance of its mean, and the degrees of freedom that it is known with.
    variances = [(float(gains.var(ddof=1)), before[0].shape[0] - 1), *_over_seeds(*over)]
    variance = sum(part for part, _ in variances)
    if variance == 0:
        return gain, gain
    freedom = variance**2 / sum(part**2 / freedom for part, freedom in variances)
    half = student_quantile((1 + _LEVEL) / 2, freedom) * variance**0.5
    return gain - half, gain + half


def student_quantile(probability: float, freedom: float) -> float:
    """Return a quantile of Student's t distribution.

    Args:
        probability: In (0, 1).
        freedom: Degrees of freedom, at least 1; need not be whole.
    """
    # t = sqrt(freedom) tan(angle) turns the density into cos(angle) ** (freedom - 1), on a finite
    # range; in its middle lies all that matters, also where freedom is large.
    bound = min(np.pi / 2, 12 / freedom**0.5)
    angle = np.linspace(-bound, bound, 200_001)
    density = np.cos(angle) ** (freedom - 1)
    below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return float(freedom**0.5 * np.tan(np.interp(probability * below[-1], below, angle)))


def _over_seeds(*scores: NDArray[np.float64]) -> list[tuple[float, int]]:
    """Return the variance of each network's mean over its seeds, and its degrees of freedom."""
    freedom = [len(each) - 1 for each in scores]
    if all(freedom):
        return [(float(each.var(ddof=1)) / len(each), len(each) - 1) for each in scores]
    # One of them is a single training: the other's variance stands for both.
    variance = max(float(each.var(ddof=1)) for each in scores if len(each) > 1)
    return [(variance * sum(1 / len(each) for each in scores), max(freedom))]


def _drawn_gains(
    before: Sequence[NDArray[np.int64]], after: Sequence[NDArray[np.int64]], *, seed: int
) -> tuple[NDArray[np.float64], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Draw images anew; return each draw's gain, and the scores of all trainings on all images."""
    first, *others = [*before, *after]
    for other in others:
        if other.shape != first.shape or first.sum() == 0:
            raise ValueError(
                f"gain_interval: counts are {first.shape} and {other.shape}; expected two "
                "(num_images, 2, K) of the same images, with some pixel counted."
            )
    has_pixels = first.sum(axis=(1, 2)) > 0  # a draw of images without a label has no score
    num_images = int(has_pixels.sum())
    draws = np.random.default_rng(seed).multinomial(
        num_images, np.full(num_images, 1 / num_images), size=_NUM_RESAMPLES
    )
    draws = np.vstack([draws, np.ones_like(draws[:1])])  # the last one is the images as they are
    means = [
        [_mean_iou(draws, each[has_pixels]) for each in network] for network in (before, after)
    ]
    drawn = [np.mean([scores[:-1] for scores in network], axis=0) for network in means]
    whole = [np.array([scores[-1] for scores in network]) for network in means]
    return drawn[1] - drawn[0], (whole[0], whole[1])


def _mean_iou(draws: NDArray[np.int64], images: NDArray[np.int64]) -> NDArray[np.float64]:
    """Score each draw, (num_draws, num_images) of how often an image is in it."""
    # float64 holds every sum of pixels exactly, and multiplies matrices fast.
    drawn = draws.astype(np.float64) @ images.reshape(len(images), -1).astype(np.float64)
    hit, union = np.split(drawn, 2, axis=1)
    occurs = union > 0
    iou = np.divide(hit, union, out=np.zeros_like(hit), where=occurs)
    return iou.sum(axis=1) / occurs.sum(axis=1)
