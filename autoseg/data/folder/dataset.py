"""A person's own images and masks, as they lie in a folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autoseg.contract import SPLITS, ReadsRegions, Sample, SegmentationDataset
from autoseg.data.cache import DEFAULT_CACHE_MIB, KeepsSamples, Pixels, SampleCache
from autoseg.data.channels import allows_regions, open_regions, read_channels
from autoseg.data.folder.collection import read_folder, require_pairs
from autoseg.data.folder.masks import allows_parts
from autoseg.data.folder.splitting import place
from autoseg.data.scaled_part import MAX_WHOLE
from autoseg.data.spread import checked_indices
from autoseg.errors import UsageError, unknown_name

_SMALL, _LARGE = 255, 65_535


class FolderImages(SegmentationDataset, KeepsSamples, ReadsRegions):
    """One split of a folder of images and masks.

    Layouts, the pairing of files, and what masks may hold are told in `docs/your_images.md`; a
    `dataset.toml` in the folder names classes, colours and splits. The classes are those of all
    splits together, so that each split has the same.
    """

    def __init__(
        self,
        *,
        split: str,
        data_root: str | Path | None = None,
        description: str | Path | None = None,
        cache_mib: float = DEFAULT_CACHE_MIB,
    ) -> None:
        """Find the files of a split.

        Args:
            split: One of `SPLITS`.
            data_root: The folder; None takes the environment's AUTOSEG_DATA.
            description: Its dataset.toml; None for the one that lies in the folder, if any.
            cache_mib: Memory for decoded samples, MiB, in every process that reads them.

        Raises:
            UsageError: If the folder has no known layout or no such split, or the classes are open.
            FileError: If a file is damaged, or an image and its mask differ in size.
        """
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        self._root = _find_root(data_root)
        folder = read_folder(self._root, None if description is None else Path(description))
        if split not in folder.splits:
            raise UsageError(
                f"folder: {self._root} has no {split} split, only {', '.join(folder.splits)}; add "
                f"one: a folder or list {split}, or names under [splits] in dataset.toml."
            )
        self._pairs = folder.splits[split]
        self._codec = folder.codec
        sizes = [folder.sizes[pair.image] for pair in self._pairs]
        self._sizes = sizes
        self._has_regions: dict[int, bool] = {}
        num_classes = len(folder.class_names)
        super().__init__(
            name="folder",
            split=split,
            class_names=folder.class_names,
            palette=folder.palette,
            ignore_index=_SMALL if num_classes <= _SMALL else _LARGE,
            largest_size=(max(height for height, _ in sizes), max(width for _, width in sizes)),
            attribution=folder.attribution,
            normalisation=folder.normalisation,
            notes=folder.notes,
        )
        self.keep_samples(SampleCache(cache_mib))

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Sample:
        """Read a sample.

        Raises:
            FileError: If a file cannot be decoded, or its mask holds what is no class; the message
                names file, value and place.
        """
        self.check_index(index)
        image, label = self._cache.get(index, self._read)
        return Sample(image, label.to(torch.int64), self._pairs[index].image.stem)

    def region_size(self, index: int) -> tuple[int, int] | None:
        """Return the size of an image that is large, if image and mask are read in parts."""
        height, width = self._sizes[index]
        if height * width <= MAX_WHOLE:
            return None
        if index not in self._has_regions:
            pair = self._pairs[index]
            self._has_regions[index] = allows_regions(
                pair.image, self.num_channels
            ) and allows_parts(pair.mask)
        return (height, width) if self._has_regions[index] else None

    def read_region(self, index: int, rows: slice, columns: slice) -> Sample:
        """Read a part of a sample whose `region_size` is not None."""
        pair = self._pairs[index]
        with open_regions(pair.image, self.num_channels) as image:
            pixels = image.read(rows, columns)
        label = self._codec.decode_part(pair.mask, rows, columns, ignore_index=self.ignore_index)
        return Sample(
            torch.from_numpy(pixels), torch.from_numpy(label.astype(np.int64)), pair.image.stem
        )

    def check_labels(self) -> None:
        """Read the masks of `checked_indices`, and refuse values that are no class.

        Samples that are kept were checked when they were decoded.

        `python -m autoseg.data` reads all of them.

        Raises:
            FileError: As reading a sample does.
        """
        for index in checked_indices(len(self._pairs)):
            if not self._cache.holds(index):
                self._read_label(self._pairs[index].mask)

    def sources(self, index: int) -> tuple[Path, ...]:
        """Name the image and its mask."""
        pair = self._pairs[index]
        return pair.image, pair.mask

    def decoding(self) -> Iterator[str]:
        """Give what the masks' numbers and colours mean, and how many channels are read."""
        yield f"folder {self.num_channels} {self.ignore_index}"
        yield from self._codec.lines()

    def _contents(self) -> Iterator[str]:
        yield from super()._contents()
        yield from self._codec.lines()
        yield f"{self.normalisation}"
        for path in (path for pair in self._pairs for path in (pair.image, pair.mask)):
            yield f"{place(path, self._root)} {path.stat().st_size}"

    def _read(self, index: int) -> Pixels:
        pair = self._pairs[index]
        pixels = read_channels(pair.image, self.num_channels)
        return torch.from_numpy(pixels), self._read_label(pair.mask)

    def _read_label(self, path: Path) -> Tensor:
        label = self._codec.decode(path, ignore_index=self.ignore_index)
        return torch.from_numpy(label.astype(np.uint8) if self.ignore_index == _SMALL else label)


def require_readable(data_root: str | Path | None, description: str | Path | None) -> None:
    """Decode every image and mask of a folder, to name all that is wrong with them at once.

    Args:
        data_root: As of `FolderImages`.
        description: As well.

    Raises:
        UsageError: If the folder has no known layout.
        FileError: If a file is damaged, or an image and its mask differ in size; all are named.
    """
    path = None if description is None else Path(description)
    require_pairs(_find_root(data_root), path)


def _find_root(data_root: str | Path | None) -> Path:
    if data_root is None:
        data_root = os.environ.get("AUTOSEG_DATA")
    if not data_root:
        raise UsageError(
            "folder: no folder was given; name the one that holds images/ and masks/ with "
            "--data-root DIR or the environment variable AUTOSEG_DATA."
        )
    return Path(data_root).expanduser()
