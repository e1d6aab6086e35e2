"""Images and labels of a published dataset, read in place."""

import os.path
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoseg.contract import Sample, SegmentationDataset
from autoseg.data.cache import DEFAULT_CACHE_MIB, KeepsSamples, Pixels, SampleCache
from autoseg.data.folder.pairing import Pair
from autoseg.data.images import image_size, read_image
from autoseg.data.spread import checked_indices
from autoseg.errors import FileError
from autoseg.foreign_text import printable

VOID = 255
"""Label of pixels without a class, unless a dataset has one of its own."""


class LabelReader(Protocol):
    """What turns a label file into classes."""

    def decode(self, path: Path, *, ignore_index: int) -> NDArray[np.int32]:
        """Read the class of each pixel, (H, W); those without one are `ignore_index`.

        Raises:
            FileError: If the file cannot be read so, or a value is no class; with its place.
        """
        ...

    def lines(self) -> Iterator[str]:
        """Give what decides the classes, for a fingerprint."""
        ...


class PublishedImages(SegmentationDataset, KeepsSamples):
    """One split of a published dataset: pairs of files, and how its labels are written.

    The formats, one a file beside this one, find the pairs. Headers of the images are read when it
    is built, since the largest size decides how training crops; an image and its label are compared
    when they are read.
    """

    def __init__(
        self,
        *,
        name: str,
        split: str,
        root: Path,
        pairs: Sequence[Pair],
        reader: LabelReader,
        class_names: tuple[str, ...],
        palette: NDArray[np.uint8],
        attribution: str,
        notes: tuple[str, ...] = (),
        ignore_index: int = VOID,
        largest_size: tuple[int, int] | None = None,
        cache_mib: float = DEFAULT_CACHE_MIB,
    ) -> None:
        """Take what a format has found.

        Args:
            name: The dataset's key in `DATASETS`.
            split: The split's name.
            root: Folder that the places of files are counted from, wherever it lies.
            pairs: Images and labels; all files exist.
            reader: What reads the labels.
            class_names: One name a class.
            palette: Colour of each class, RGB, uint8, (K, 3).
            attribution: Source and licence.
            notes: What a person should know of how the images were found.
            ignore_index: Label of pixels without a class.
            largest_size: Height and width that no image exceeds; None reads them from the images.
            cache_mib: Memory for decoded samples, MiB, in every process that reads them.

        Raises:
            FileError: If an image's header cannot be read.
        """
        if largest_size is None:
            heights, widths = zip(*(image_size(pair.image) for pair in pairs), strict=True)
            largest_size = max(heights), max(widths)
        super().__init__(
            name=name,
            split=split,
            class_names=class_names,
            palette=palette,
            ignore_index=ignore_index,
            largest_size=largest_size,
            attribution=attribution,
            notes=notes,
        )
        self._root = root
        self._pairs = tuple(pairs)
        self._reader = reader
        self.keep_samples(SampleCache(cache_mib))

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Sample:
        """Read a sample.

        Raises:
            FileError: If a file cannot be decoded, its label holds what is no class, or the two
                differ in size; the message names the file.
        """
        self.check_index(index)
        image, label = self._cache.get(index, self._read)
        return Sample(image, label.to(torch.int64), self._pairs[index].image.stem)

    def check_labels(self) -> None:
        """Read the labels of `checked_indices`, and refuse values that are no class.

        Samples that are kept were checked when they were decoded.

        Raises:
            FileError: As reading a sample does.
        """
        for index in checked_indices(len(self._pairs)):
            if not self._cache.holds(index):
                pair = self._pairs[index]
                self._require_equal(pair, image_size(pair.image), self._read_label(pair.mask))

    def sources(self, index: int) -> tuple[Path, ...]:
        """Name the image and its label."""
        pair = self._pairs[index]
        return pair.image, pair.mask

    def decoding(self) -> Iterator[str]:
        """Give what the reader makes of labels, and the number of those without a class."""
        yield f"published {self.ignore_index}"
        yield from self._reader.lines()

    def _contents(self) -> Iterator[str]:
        yield from super()._contents()
        yield from self._reader.lines()
        for path in (path for pair in self._pairs for path in (pair.image, pair.mask)):
            yield f"{os.path.relpath(path, self._root)} {path.stat().st_size}"

    def _read(self, index: int) -> Pixels:
        pair = self._pairs[index]
        pixels, label = read_image(pair.image), self._read_label(pair.mask)
        self._require_equal(pair, (pixels.shape[0], pixels.shape[1]), label)
        # (H, W, 3) -> (3, H, W)
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), label

    def _read_label(self, path: Path) -> Tensor:
        label = self._reader.decode(path, ignore_index=self.ignore_index)
        return torch.from_numpy(label.astype(np.uint8))

    def _require_equal(self, pair: Pair, size: tuple[int, int], label: Tensor) -> None:
        if tuple(label.shape) != size:
            raise FileError(
                f"{printable(str(pair.image))} is {size[0]} x {size[1]} (height x width), but its "
                f"label {printable(str(pair.mask))} is {label.shape[0]} x {label.shape[1]}; they "
                "must be equal, as in the archive."
            )
