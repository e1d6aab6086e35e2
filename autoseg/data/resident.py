"""Samples that stay on the device, where they are augmented without a way there for each step."""

from collections.abc import Iterator

import torch
from torch import Tensor

from autoseg.contract import Sample, SegmentationDataset
from autoseg.data.view import DatasetView
from autoseg.upload import to_device


class ResidentSamples(DatasetView):
    """A split whose samples come on a device; as many as fit a budget stay there.

    Each is kept when it is read first, in one byte a number (labels of more than 255 classes in
    four). `Augmentation` works where its sample lies, so that batches of these come on the device,
    drawn by the same generators as on the CPU and equal to it up to rounding. To be read by one
    process alone: workers of a loader cannot share a GPU's memory.
    """

    def __init__(
        self, dataset: SegmentationDataset, device: torch.device, *, max_gib: float
    ) -> None:
        """Keep nothing yet.

        Args:
            dataset: Where the samples come from.
            device: Where they go.
            max_gib: Budget, GiB; the samples beyond it are moved there each time.
        """
        super().__init__(dataset)
        self.max_bytes = int(max_gib * 2**30)
        """Size up to which samples are kept."""
        self.is_full = False
        """Whether a sample did not fit."""
        self._device = device
        self._label_dtype = torch.uint8 if self.ignore_index < 2**8 else torch.int32
        self._kept: dict[int, tuple[Tensor, Tensor, str]] = {}
        self._num_bytes = 0

    def fingerprint(self) -> str:
        """Return the dataset's: the samples are the same."""
        return self._dataset.fingerprint()

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        """Return a sample on the device, read only if it is not there."""
        self.check_index(index)
        kept = self._kept.get(index)
        if kept is None:
            kept = self._move(self._dataset[index])
            num_bytes = sum(part.numel() * part.element_size() for part in kept[:2])
            if self._num_bytes + num_bytes > self.max_bytes:
                self.is_full = True
            else:
                self._kept[index] = kept
                self._num_bytes += num_bytes
        image, label, name = kept
        return Sample(image.clone(), label.to(torch.int64), name)

    def _move(self, sample: Sample) -> tuple[Tensor, Tensor, str]:
        label = sample.target.to(self._label_dtype)  # before the way, which is then shorter
        image, label = (to_device(each, self._device) for each in (sample.image, label))
        return image, label, sample.name

    def _contents(self) -> Iterator[str]:
        yield self._dataset.fingerprint()


def stay_on_device(
    dataset: SegmentationDataset, device: torch.device, *, max_gib: float
) -> SegmentationDataset:
    """Keep samples on the device up to a budget in GiB; 0 leaves the dataset as it is."""
    return dataset if max_gib == 0 else ResidentSamples(dataset, device, max_gib=max_gib)
