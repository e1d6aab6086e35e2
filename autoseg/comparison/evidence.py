"""What stands behind a score, image by image: counts that tell networks apart, and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoseg.data import SegmentationDataset, spread_indices
from autoseg.metrics import BorderScore, Calibration, confusion_matrix, overlaps

NUM_SCENES = 3
"""Images that the report shows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrueScene:
    """An image that the report shows, with its label."""

    name: str
    """Name of the image."""
    image: NDArray[np.uint8]
    """RGB, (H, W, 3)."""
    target: NDArray[np.integer]
    """True class of each pixel, (H, W), as `compact_labels` keeps it."""
    palette: NDArray[np.uint8]
    """Colour of each class, RGB, (K, 3)."""
    ignore_index: int
    """Label of pixels without a class."""
    attribution: str
    """Source and licence of the image; empty where none is owed."""
    remark: str = ""
    """Why it is shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GradedPrediction:
    """What was predicted of an image that was chosen by its scores."""

    classes: NDArray[np.integer]
    """Predicted class of each pixel, (H, W), as `compact_labels` keeps it."""
    overlaps: NDArray[np.int64]
    """The `overlaps` of that image, (2, K)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What one prediction of all images was."""

    image_overlaps: NDArray[np.int64]
    """The `overlaps` of each image, (num_images, 2, K)."""
    shown: tuple[NDArray[np.integer], ...]
    """Predicted classes of the images that the report shows, each (H, W), as `compact_labels` keeps
    them."""
    graded: tuple[GradedPrediction, ...] = ()
    """What was predicted of the best, the median and the worst image."""


class EvidenceOf:
    """Collect the evidence of one prediction while its images are scored."""

    def __init__(
        self,
        dataset: SegmentationDataset,
        scenes: Sequence[int],
        num_images: int,
        borders: Sequence[BorderScore] = (),
        calibration: Calibration | None = None,
    ) -> None:
        """Start with no image.

        Args:
            dataset: Sets K and the ignored label.
            scenes: Samples that the report shows.
            num_images: Images that will be scored.
            borders: Scores that count every image as well.
            calibration: Counts how sure the predictions are; None: nobody asked.
        """
        self.borders = borders
        self.calibration = calibration
        self._dataset = dataset
        self._scenes = frozenset(scenes)
        # One array from the start: an array an image, which outlives the logits beside it, leaves
        # gaps in the process's memory that the next network's logits do not fit into.
        self._overlaps = np.zeros((num_images, 2, dataset.num_classes), np.int64)
        self._num_images = 0
        self._shown: list[NDArray[np.integer]] = []
        self._graded: list[GradedPrediction] = []

    def add(self, index: int, pred: Tensor, target: Tensor) -> None:
        """Count one more image; pred and target are (H, W)."""
        self._overlaps[self._num_images] = self._overlaps_of(pred, target)
        self._num_images += 1
        for score in self.borders:
            score.update(pred, target)
        if index in self._scenes:
            self._shown.append(compact_labels(pred, self._dataset))

    def add_graded(self, pred: Tensor, target: Tensor) -> None:
        """Keep the prediction of an image that was chosen by its scores; both are (H, W)."""
        overlaps_of_image = self._overlaps_of(pred, target)
        classes = compact_labels(pred, self._dataset)
        self._graded.append(GradedPrediction(classes=classes, overlaps=overlaps_of_image))

    def forget_graded(self) -> None:
        """Keep none of those predictions: other images are chosen."""
        self._graded.clear()

    def _overlaps_of(self, pred: Tensor, target: Tensor) -> NDArray[np.int64]:
        counts = confusion_matrix(
            pred,
            target,
            num_classes=self._dataset.num_classes,
            ignore_index=self._dataset.ignore_index,
        )
        return overlaps(counts).cpu().numpy()

    def image_overlaps(self) -> NDArray[np.int64]:
        """Return the `overlaps` of each image so far, (num_images, 2, K)."""
        return self._overlaps[: self._num_images]

    def result(self) -> Evidence:
        """Return what was collected."""
        return Evidence(
            image_overlaps=self.image_overlaps(),
            shown=tuple(self._shown),
            graded=tuple(self._graded),
        )


def compact_labels(labels: Tensor, dataset: SegmentationDataset) -> NDArray[np.integer]:
    """Copy labels, in as few bytes as hold all of a dataset.

    A comparison keeps those of some images for each of its networks until its report is written.

    Args:
        labels: Class of each pixel, or the ignored label, int64, (H, W).
        dataset: Sets K and the ignored label.

    Returns:
        The same labels in memory of their own, uint8 where that holds K and the ignored label.
    """
    lowest = min(0, dataset.ignore_index)
    highest = max(dataset.num_classes, dataset.ignore_index)  # K stands for pixels without a class
    for dtype in (torch.uint8, torch.int16):
        if torch.iinfo(dtype).min <= lowest and highest <= torch.iinfo(dtype).max:
            return labels.to(dtype).cpu().numpy()
    return labels.to(torch.int32).cpu().numpy()


def scene_indices(indices: Sequence[int]) -> list[int]:
    """Choose the samples that the report shows: evenly spread over the scored ones, by no score."""
    return [indices[i] for i in spread_indices(len(indices), min(NUM_SCENES, len(indices)))]


def true_scenes(dataset: SegmentationDataset, scenes: Sequence[int]) -> tuple[TrueScene, ...]:
    """Read the images that the report shows."""
    return tuple(
        TrueScene(
            name=sample.name,
            image=sample.picture.permute(1, 2, 0).numpy(),  # (3, H, W) -> (H, W, 3)
            target=compact_labels(sample.target, dataset),
            palette=dataset.palette,
            ignore_index=dataset.ignore_index,
            attribution=dataset.attribution,
        )
        for sample in (dataset[index] for index in scenes)
    )
