"""What rooms hand to each other: images with a class for each pixel, and what networks return.

A room that takes one of these need not know the room that it comes from.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from autoseg.normalisation import IMAGENET, Normalisation, as_rgb

SPLITS = ("train", "val", "test")
"""Choose on train and val; touch test once, with the final command."""


class Sample(NamedTuple):
    """One image and its label."""

    image: Tensor
    """uint8, (C, H, W); RGB unless the dataset says otherwise."""

    target: Tensor
    """True class of each pixel, int64, (H, W), below num_classes, or the ignore_index."""

    name: str
    """What a person calls this image: its file's stem, or split and index."""

    @property
    def picture(self) -> Tensor:
        """The image as RGB, uint8, (3, H, W)."""
        return as_rgb(self.image)


class SegmentationDataset(Dataset[Sample], ABC):
    """Images with dense labels; the same index always gives the same sample, in any process."""

    def __init__(
        self,
        *,
        name: str,
        split: str,
        class_names: tuple[str, ...],
        palette: NDArray[np.uint8],
        ignore_index: int,
        largest_size: tuple[int, int],
        attribution: str = "",
        normalisation: Normalisation = IMAGENET,
        notes: tuple[str, ...] = (),
    ) -> None:
        """Describe the dataset.

        Args:
            name: Its key in `DATASETS`.
            split: One of `SPLITS`.
            class_names: One name a class; their number is K.
            palette: Colour of each class, RGB, uint8, (K, 3).
            ignore_index: Label of pixels that count neither in the loss nor in a score.
            largest_size: Height and width, in pixels, that no image of the split exceeds.
            attribution: Source and licence, to be printed on every figure made from the images;
                empty where none is owed.
            normalisation: Mean and deviation of each channel; their number is C.
            notes: What a person should know of how the images were found, in sentences.
        """
        assert palette.shape == (len(class_names), 3)
        assert palette.dtype == np.uint8
        assert not 0 <= ignore_index < len(class_names)
        self.name = name
        self.split = split
        self.class_names = class_names
        self.palette = palette
        self.ignore_index = ignore_index
        self.largest_size = largest_size
        self.attribution = attribution
        self.normalisation = normalisation
        self.notes = notes

    @property
    def num_channels(self) -> int:
        """C, the number of the images' channels."""
        return self.normalisation.num_channels

    @property
    def num_classes(self) -> int:
        """K, the number of evaluated classes; the ignored label is not one of them."""
        return len(self.class_names)

    @abstractmethod
    def __len__(self) -> int:
        """Count the samples of the split."""

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Return sample `index`, in [0, len); IndexError beyond, so that `for` loops end."""

    def check_labels(self) -> None:
        """Refuse label values that are no class, before a training meets the first of them.

        Nothing needs to be read where labels cannot be wrong, as those that are drawn.

        Raises:
            FileError: If a value is neither a class nor ignored; names file, value and place.
        """
        return

    def fingerprint(self) -> str:
        """Tell these images from others: what was begun with them must not go on with others.

        No image is read: files count by their names and sizes, and drawn scenes by what they are
        drawn from. Where a folder lies does not count.

        Returns:
            Their number and a checksum, for example "367 images, SHA-256 0123456789abcdef".
        """
        digest = hashlib.sha256()
        for line in (self.name, self.split, *self.class_names, *self._contents()):
            digest.update(line.encode("utf-8", "surrogateescape") + b"\0")
        return f"{len(self)} images, SHA-256 {digest.hexdigest()[:16]}"

    def _contents(self) -> Iterator[str]:
        """Give a line for each part that decides what the samples are, without reading them."""
        yield f"{len(self)} samples of at most {self.largest_size}, {self.ignore_index} is ignored"

    def check_index(self, index: int) -> None:
        """Raise IndexError unless `index` is in [0, len); negative indices are not accepted."""
        if not 0 <= index < len(self):
            raise IndexError(
                f"{self.name} {self.split}: sample {index} does not exist; "
                f"the split has {len(self)} (0 to {len(self) - 1})."
            )


class ReadsRegions(ABC):
    """A dataset of which large images are read in parts, for crops that are much smaller."""

    @abstractmethod
    def region_size(self, index: int) -> tuple[int, int] | None:
        """Return height and width of a sample that is read in parts; None for one read whole."""

    @abstractmethod
    def read_region(self, index: int, rows: slice, columns: slice) -> Sample:
        """Return rows and columns of a sample, each with both ends; errors are those of reading.

        It is what the whole sample holds there.
        """


class TrainingLogits(NamedTuple):
    """Logits of a network in training mode that has auxiliary classifiers.

    The loss is CE(logits, target) + sum over i of weights[i] * CE(auxiliary[i], target_i), where
    target_i is the target subsampled to the size of auxiliary[i] by nearest neighbour (class
    indices cannot be interpolated). In eval mode such a network returns `logits` alone.
    """

    logits: Tensor
    """(N, K, H, W), at the input's size."""
    auxiliary: tuple[Tensor, ...]
    """Each (N, K, h, w) at its own, lower resolution, coarsest first."""
    weights: tuple[float, ...]
    """Weight of each auxiliary loss, in the same order; the main loss has weight 1."""


@runtime_checkable
class FollowsProgress(Protocol):
    """A network whose regularisation depends on how far the training is (ScheduledDropPath)."""

    def set_training_progress(self, progress: float | Tensor) -> None:
        """Take the share of the training that is done, in [0, 1].

        A tensor, a scalar on the network's device, is what a compiled network is given: a number
        would become a constant of what is compiled.
        """
        ...


@runtime_checkable
class RefinesLogits(Protocol):
    """A network that ends in something which no compiler can see through (a dense CRF)."""

    network: nn.Module
    """What comes before it."""

    def refine(self, output: Tensor | TrainingLogits, images: Tensor) -> Tensor | TrainingLogits:
        """Finish what `network` gave for these images: the two together are the forward pass."""
        ...
