"""The score of a CRF's parameters: the mean IoU on images whose logits are computed once."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from autoseg.crf import CRFConfig
from autoseg.data import SegmentationDataset, normalise
from autoseg.evaluation import predict_logits
from autoseg.metrics import ConfusionMatrix
from autoseg.runs import Progress
from autoseg.tuning.logits_cache import LogitsCache


class TuningStopped(Exception):
    """The user asked to stop inside a trial, or before the first one."""


def logits_mib(dataset: SegmentationDataset, num_images: int) -> float:
    """Return the memory that the logits of some images need at most, in MiB."""
    height, width = dataset.largest_size
    return num_images * dataset.num_classes * height * width * 4 / 2**20  # float32


def fill_cache(
    cache: LogitsCache,
    network: nn.Module,
    dataset: SegmentationDataset,
    indices: Sequence[int],
    image_scale: float,
    device: torch.device,
    is_stopped: Callable[[], bool],
) -> None:
    """Compute the logits of images, and show how far it is.

    Args:
        cache: Gets them, in the order of `indices`.
        network: In eval mode, on `device`.
        dataset: The split.
        indices: The images.
        image_scale: Factor on the images' sides before the network sees them.
        device: Where the network is.
        is_stopped: Asked before each image: whether the user wants to stop.

    Raises:
        TuningStopped: If the user asks to stop meanwhile.
    """
    with (
        Progress(len(indices), description="logits", unit="image") as progress,
        torch.inference_mode(),
    ):
        for index in indices:
            if is_stopped():
                raise TuningStopped
            pixels = dataset[index].image.to(device)[None]
            images = normalise(pixels, dataset.normalisation)
            cache.append(predict_logits(network, images, scales=(image_scale,)))
            progress.update()


class CRFScorer:
    """Scores parameters on the images whose logits are at hand."""

    def __init__(
        self,
        cache: LogitsCache,
        dataset: SegmentationDataset,
        indices: Sequence[int],
        device: torch.device,
        is_stopped: Callable[[], bool],
    ) -> None:
        """Take the images.

        Args:
            cache: Logits of the images, in the order of `indices`.
            dataset: The split.
            indices: The images.
            device: Where the CRF runs.
            is_stopped: Asked before each image that a CRF sees: whether the user wants to stop.
        """
        self._cache = cache
        self._dataset = dataset
        self._indices = indices
        self._device = device
        self._is_stopped = is_stopped

    def mean_iou(self, parameters: CRFConfig | None) -> float:
        """Return the mean IoU over all images; of the network alone if `parameters` is None.

        Raises:
            TuningStopped: If the user asks to stop meanwhile.
        """
        crf = None if parameters is None else parameters.build().to(self._device)
        confusion = ConfusionMatrix(self._dataset.num_classes, self._dataset.ignore_index)
        with torch.inference_mode():
            for place, index in enumerate(self._indices):
                sample = self._dataset[index]
                scores = self._cache[place].to(self._device)
                if crf is not None:
                    if self._is_stopped():
                        raise TuningStopped
                    scores = crf(scores, sample.picture[None].to(self._device))
                confusion.update(scores.argmax(dim=1).cpu(), sample.target[None])
        return confusion.mean_iou()
