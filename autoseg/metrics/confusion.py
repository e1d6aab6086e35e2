"""The confusion matrix, and every score that is read from it.

The mean IoU of a split comes from one matrix over all its pixels. It is not the mean of the images'
own IoU, which gives a class on a small image the weight of one on a large image and leaves open
what an image without the class scores.
"""

import torch
from torch import Tensor

from autoseg.upload import to_device


def confusion_matrix(
    pred: Tensor, target: Tensor, *, num_classes: int, ignore_index: int
) -> Tensor:
    """Count pixels by true and predicted class.

    Args:
        pred: Predicted class of each pixel, any integer dtype, (N, H, W) or any other shape, in
            [0, num_classes), at ignored pixels too.
        target: True class of each pixel, any integer dtype, same shape and device as `pred`, in
            [0, num_classes) or `ignore_index`.
        num_classes: K, the number of evaluated classes.
        ignore_index: Label of pixels that are not counted.

    Returns:
        Counts, int64, (K, K), on the device of `target`. Row is the true class, column the
        predicted one.

    Raises:
        ValueError: If shapes or dtypes do not fit, or a label is out of range.

    Source: Long et al. 2015, "Fully Convolutional Networks for Semantic Segmentation", section 5.
    """
    if pred.shape != target.shape:
        raise ValueError(
            f"confusion_matrix: pred is {tuple(pred.shape)} and target is {tuple(target.shape)}; "
            "score at the label's own resolution (resize the logits before argmax)."
        )
    for name, labels in (("pred", pred), ("target", target)):
        if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
            raise ValueError(
                f"confusion_matrix: {name} is {labels.dtype}; expected integer class labels "
                "(take logits.argmax(dim=1) first)."
            )
    _check_range("pred", pred, num_classes=num_classes)
    _check_range("target", target, num_classes=num_classes, ignore_index=ignore_index)
    return _count(pred, target, num_classes=num_classes, ignore_index=ignore_index)


def _count(pred: Tensor, target: Tensor, *, num_classes: int, ignore_index: int) -> Tensor:
    """Count labels that are known to be in range, without waiting for the device."""
    # int64 before any arithmetic: uint8 labels would wrap around in `target * num_classes`.
    pred, target = pred.long(), target.long()
    # Ignored pixels fall into a cell of their own: to leave them out, or to ask for the largest
    # pair as bincount does, would mean to wait for their number.
    ignored = num_classes**2
    pairs = torch.where(target == ignore_index, ignored, target * num_classes + pred).flatten()
    # int64: float32 stops counting exactly at 2**24, about a hundred CamVid images.
    counts = pairs.new_zeros(ignored + 1).scatter_add_(0, pairs, torch.ones_like(pairs))
    return counts[:ignored].reshape(num_classes, num_classes)


def _check_range(
    name: str, labels: Tensor, *, num_classes: int, ignore_index: int | None = None
) -> None:
    """Raise ValueError with the first label that is outside [0, num_classes) and not ignored."""
    is_outside = (labels < 0) | (labels >= num_classes)
    rule = ""
    if ignore_index is not None:
        is_outside &= labels != ignore_index
        rule = f" and is not ignore_index {ignore_index}"
    if is_outside.any():
        label = int(labels[is_outside][0])
        raise ValueError(
            f"confusion_matrix: {name} holds label {label}, which is outside "
            f"[0, {num_classes}){rule}; check num_classes and that the files hold class indices."
        )


class ConfusionMatrix:
    """Accumulate one confusion matrix over a whole split, and read the scores from it.

    All scores are fractions in [0, 1], computed in float64 from exact integer counts.
    """

    def __init__(self, num_classes: int, ignore_index: int) -> None:
        """Start with no pixel counted.

        Args:
            num_classes: K, the number of evaluated classes.
            ignore_index: Label of pixels that are not counted; set by the dataset.

        Raises:
            ValueError: If there is no class.
        """
        if num_classes < 1:
            raise ValueError(f"ConfusionMatrix: num_classes is {num_classes}; expected 1 or more.")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        """Pixels by true class (row) and predicted class (column), int64, (K, K), on the device
        of the data that was counted last."""

    def __repr__(self) -> str:
        return (
            f"ConfusionMatrix(num_classes={self.num_classes}, ignore_index={self.ignore_index}, "
            f"num_pixels={self.num_pixels})"
        )

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Count more pixels; arguments and errors are those of `confusion_matrix`."""
        counts = confusion_matrix(
            pred, target, num_classes=self.num_classes, ignore_index=self.ignore_index
        )
        self.counts = to_device(self.counts, counts.device) + counts

    def update_unchecked(self, pred: Tensor, target: Tensor) -> None:
        """Count more pixels whose labels are known to be in range, on the device and without
        waiting for it; arguments are those of `confusion_matrix`."""
        counts = _count(pred, target, num_classes=self.num_classes, ignore_index=self.ignore_index)
        self.counts = to_device(self.counts, counts.device) + counts

    def check_target(self, target: Tensor) -> None:
        """Refuse classes that cannot be counted, before they are sent to a device.

        Raises:
            ValueError: If a label is neither a class nor ignored.
        """
        _check_range("target", target, num_classes=self.num_classes, ignore_index=self.ignore_index)

    def merge(self, other: "ConfusionMatrix") -> None:
        """Add the pixels that another matrix counted, for example another process's share.

        Raises:
            ValueError: If the two do not count the same classes or ignore the same label.
        """
        mine = (self.num_classes, self.ignore_index)
        theirs = (other.num_classes, other.ignore_index)
        if mine != theirs:
            raise ValueError(
                "ConfusionMatrix.merge: (num_classes, ignore_index) differ: "
                f"{mine} here and {theirs} there; only counts of one dataset can be added."
            )
        self.counts = self.counts + other.counts.to(self.counts.device)

    @property
    def num_pixels(self) -> int:
        """Pixels counted so far, ignored ones left out."""
        return int(self.counts.sum())

    @property
    def num_averaged(self) -> int:
        """Classes in the mean IoU: those that occur in the prediction, in the truth, or in both."""
        return int((~self.iou().isnan()).sum())

    def iou(self) -> Tensor:
        """Divide TP by TP + FP + FN for each class.

        Returns:
            float64, (K,), on the CPU; nan for a class absent from both prediction and truth.
        """
        counts = self.counts.cpu().double()
        hit = counts.diagonal()
        return hit / (counts.sum(0) + counts.sum(1) - hit)  # 0 / 0 is nan

    def class_accuracy(self) -> Tensor:
        """Divide TP by TP + FN for each class.

        Returns:
            float64, (K,), on the CPU; nan for a class absent from the truth.
        """
        counts = self.counts.cpu().double()
        return counts.diagonal() / counts.sum(1)

    def mean_iou(self) -> float:
        """Average the IoU over the `num_averaged` classes that occur.

        Raises:
            RuntimeError: If no pixel has been counted.
        """
        self._require_pixels("mean_iou")
        return float(self.iou().nanmean())

    def mean_accuracy(self) -> float:
        """Average the accuracy over the classes that occur in the truth.

        Raises:
            RuntimeError: If no pixel has been counted.
        """
        self._require_pixels("mean_accuracy")
        return float(self.class_accuracy().nanmean())

    def pixel_accuracy(self) -> float:
        """Divide the rightly predicted pixels by all counted ones.

        Raises:
            RuntimeError: If no pixel has been counted.
        """
        self._require_pixels("pixel_accuracy")
        return float(self.counts.diagonal().sum().double() / self.num_pixels)

    def frequency_weighted_iou(self) -> float:
        """Average the IoU with each class's share of the true pixels as its weight.

        Raises:
            RuntimeError: If no pixel has been counted.

        Source: Long et al. 2015, "Fully Convolutional Networks for Semantic Segmentation",
        section 5.
        """
        self._require_pixels("frequency_weighted_iou")
        share = self.counts.cpu().double().sum(1) / self.num_pixels
        return float((share * self.iou().nan_to_num(0.0)).sum())  # absent: nan, of share 0

    def _require_pixels(self, score: str) -> None:
        if self.num_pixels == 0:
            raise RuntimeError(
                f"ConfusionMatrix.{score}: no pixel has been counted; call update first, and check "
                f"that the labels are not all ignore_index {self.ignore_index}."
            )
