"""How well a prediction meets the borders of the truth, which the mean IoU hardly sees.

All scores add up pixels over all images, class by class, and then average over the classes that
have any pixel to count in the truth or in the prediction, as the mean IoU does. Pixels without a
label count nowhere, whatever was predicted there.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from autoseg.metrics.borders import border_band, inner_band, void_band, within
from autoseg.metrics.confusion import ConfusionMatrix

BOUNDARY_SHARE = 0.02
"""Width of the Boundary IoU's bands as a share of the image's diagonal.

Source: Cheng et al. 2021, "Boundary IoU", section 5.2.
"""


class BorderScore(ABC):
    """A score of predicted borders, accumulated over images."""

    key: str
    """Name of the score in records, with the unit."""
    heading: str
    """Name of the score in tables."""

    @abstractmethod
    def update(self, pred: Tensor, target: Tensor) -> None:
        """Count one more image.

        Args:
            pred: Predicted class of each pixel, int64, (H, W).
            target: True class of each pixel, int64, (H, W), or the ignored label.
        """

    @abstractmethod
    def add_up(self, total: Callable[[Tensor], Tensor]) -> None:
        """Replace what was counted by its sum over several processes, which `total` takes."""

    @abstractmethod
    def by_class(self) -> Tensor:
        """Return the score of each class, float64, (K,); nan where there is nothing to count."""

    def mean(self) -> float | None:
        """Average over the classes that have a score; None if there is none."""
        mean = float(self.by_class().nanmean())
        return None if math.isnan(mean) else mean


class TrimapIoU(BorderScore):
    """IoU of the pixels near borders of the truth, or near its pixels without a label.

    A dataset that marks borders by void pixels, as VOC, means the second; one whose void pixels are
    something else, as CamVid and Cityscapes, the first.

    Source: Kohli et al. 2009, "Robust Higher Order Potentials for Enforcing Label Consistency",
    section 6; Chen et al. 2015, "DeepLab", section 4.
    """

    def __init__(
        self, num_classes: int, ignore_index: int, *, width: int, around: Literal["borders", "void"]
    ) -> None:
        self.key = f"trimap_iou_{around}_{width}px"
        self.heading = f"IoU within {width} px of {around}"
        self._width = width
        self._band = {"borders": border_band, "void": void_band}[around]
        self._confusion = ConfusionMatrix(num_classes, ignore_index)

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Count the pixels in the band of the truth."""
        ignored = self._confusion.ignore_index
        band = self._band(target, width=self._width, ignore_index=ignored)
        self._confusion.update(pred, target.masked_fill(~band, ignored))

    def add_up(self, total: Callable[[Tensor], Tensor]) -> None:
        """Add up the confusion within the bands."""
        self._confusion.counts = total(self._confusion.counts.cpu())

    def by_class(self) -> Tensor:
        """Return the IoU of each class within the bands."""
        return self._confusion.iou()


class BoundaryIoU(BorderScore):
    """IoU of each class's own inner band in the truth, and that in the prediction.

    The band holds the pixels of the class within 2 % of the image's diagonal of anything else; as
    in the paper, the edge of the image is something else. So are pixels without a label, which the
    prediction gets from the truth.

    Source: Cheng et al. 2021, "Boundary IoU: Improving Object-Centric Image Segmentation
    Evaluation", equation 1. There each object has a score of its own.
    """

    key = "boundary_iou"
    heading = "Boundary IoU"

    def __init__(self, num_classes: int, ignore_index: int) -> None:
        self._num_classes, self._ignore_index = num_classes, ignore_index
        self._hit = torch.zeros(num_classes, dtype=torch.int64)
        self._union = torch.zeros(num_classes, dtype=torch.int64)

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Count the bands of one image."""
        void = self._num_classes
        is_void = target == self._ignore_index
        width = max(1, round(BOUNDARY_SHARE * math.hypot(*target.shape)))
        inner = []
        for labels in (pred, target):
            filled = labels.masked_fill(is_void, void)
            band = inner_band(filled, width=width, outside=void) & ~is_void
            inner.append(filled.masked_fill(~band, void))
        hit = self._count(inner[0][inner[0] == inner[1]])
        self._hit += hit
        self._union += self._count(inner[0]) + self._count(inner[1]) - hit

    def _count(self, labels: Tensor) -> Tensor:
        counts = torch.bincount(labels.flatten(), minlength=self._num_classes + 1)
        return counts[: self._num_classes].cpu()

    def add_up(self, total: Callable[[Tensor], Tensor]) -> None:
        """Add up intersection and union."""
        self._hit, self._union = total(self._hit), total(self._union)

    def by_class(self) -> Tensor:
        """Divide intersection by union."""
        return self._hit.double() / self._union.double()


class SurfaceDice(BorderScore):
    """Share of the classes' surfaces that lie near each other, of those of truth and prediction.

    A surface is made of the pixels of a class that touch another class; neither the image's edge
    nor pixels without a label make one. Near means within the tolerance, a Euclidean distance.

    Source: Nikolov et al. 2018, "Deep Learning to Achieve Clinically Applicable Segmentation of
    Head and Neck Anatomy", the surface Dice coefficient, known as normalised surface distance.
    There surfaces lie between pixels.
    """

    def __init__(self, num_classes: int, ignore_index: int, *, tolerance: int) -> None:
        self.key = f"surface_dice_{tolerance}px"
        self.heading = f"Surface Dice, {tolerance} px"
        self._num_classes, self._ignore_index = num_classes, ignore_index
        self._tolerance = tolerance
        self._near = torch.zeros(num_classes, dtype=torch.int64)
        self._all = torch.zeros(num_classes, dtype=torch.int64)

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Count the surfaces of one image."""
        ignored = self._ignore_index
        both = (pred.masked_fill(target == ignored, ignored), target)
        touches = [border_band(labels, width=1, ignore_index=ignored) for labels in both]
        present = torch.cat([labels[band] for labels, band in zip(both, touches, strict=True)])
        for k in present.unique().tolist():  # one by one: masks of all classes may not fit
            first, second = (
                (labels == k) & band for labels, band in zip(both, touches, strict=True)
            )
            self._near[k] += int((first & within(second, distance=self._tolerance)).sum())
            self._near[k] += int((second & within(first, distance=self._tolerance)).sum())
            self._all[k] += int(first.sum()) + int(second.sum())

    def add_up(self, total: Callable[[Tensor], Tensor]) -> None:
        """Add up what is near, and all."""
        self._near, self._all = total(self._near), total(self._all)

    def by_class(self) -> Tensor:
        """Divide what is near by all."""
        return self._near.double() / self._all.double()


def border_scores(
    num_classes: int,
    ignore_index: int,
    *,
    trimap: Sequence[int] = (),
    boundary_iou: bool = False,
    surface_tolerance: int | None = None,
) -> list[BorderScore]:
    """Begin the scores that were asked for.

    Args:
        num_classes: K, the number of evaluated classes.
        ignore_index: Label of pixels that are not counted.
        trimap: Widths of bands in pixels; each gives one score around borders and one around void.
        boundary_iou: Whether the Boundary IoU is scored.
        surface_tolerance: Distance in pixels within which surfaces meet; None: not scored.
    """
    scores: list[BorderScore] = [
        TrimapIoU(num_classes, ignore_index, width=width, around=around)
        for around in ("borders", "void")
        for width in trimap
    ]
    if boundary_iou:
        scores.append(BoundaryIoU(num_classes, ignore_index))
    if surface_tolerance is not None:
        scores.append(SurfaceDice(num_classes, ignore_index, tolerance=surface_tolerance))
    return scores
