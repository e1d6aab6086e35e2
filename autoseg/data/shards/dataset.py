"""A dataset whose images and masks lie in shards: tar archives of thousands of samples each."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autoseg.contract import SPLITS, Sample, SegmentationDataset
from autoseg.data.cache import DEFAULT_CACHE_MIB, Pixels, SampleCache
from autoseg.data.channels import read_channels, size_and_channels
from autoseg.data.folder.collection import (
    colours_of_entries,
    find_description,
    settle_classes,
)
from autoseg.data.folder.description import DESCRIPTION_NAME, Description
from autoseg.data.shards.archive import (
    Member,
    ShardSample,
    index_shard,
    require_webdataset,
    unpacked,
)
from autoseg.data.spread import checked_indices
from autoseg.errors import FileError, UsageError, reading, unknown_name
from autoseg.foreign_text import printable
from autoseg.normalisation import Normalisation, usual_normalisation

_SMALL, _LARGE = 255, 65_535  # void, where the classes fit into 8 bits and where not
_SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


class ShardedImages(SegmentationDataset):
    """One split of a dataset in shards, of which any sample is read by its number.

    Names of shards, their splits and what a sample holds are told in `docs/loading.md`. Headers of
    every shard are read when it is built; sizes and channels are those of 64 images.
    """

    def __init__(
        self,
        *,
        split: str,
        data_root: str | Path | None = None,
        description: str | Path | None = None,
        cache_mib: float = DEFAULT_CACHE_MIB,
    ) -> None:
        """Find the samples of a split.

        Args:
            split: One of `SPLITS`.
            data_root: A folder of shards, a shard, or a pattern of shards with braces; None takes
                the environment's AUTOSEG_DATA.
            description: A dataset.toml that names the classes; None for the one beside the shards.
            cache_mib: Memory for decoded samples, MiB, in every process that reads them.

        Raises:
            UsageError: If the library or a shard is missing, nothing names the classes, or there is
                no such split.
            FileError: If a shard is damaged, or a sample is not an image and its mask.
        """
        require_webdataset()
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        root = os.environ.get("AUTOSEG_DATA") if data_root is None else str(data_root)
        if not root:
            raise UsageError(
                "webdataset: no shards were given; name a folder of them, or a pattern in quotes, "
                "with --data-root 'DIR/train-{000..007}.tar'."
            )
        shards = _find_shards(root)
        found = _description(root, shards, None if description is None else Path(description))
        splits, notes = _splits(shards, found)
        if split not in splits:
            raise UsageError(
                f"webdataset: {printable(root)} has no {split} split, only {', '.join(splits)}; "
                f"shards of it have {split} in their names."
            )
        self._shards = splits[split]
        self._samples = [each for shard in self._shards for each in index_shard(shard)]
        looked_at = [self._samples[index] for index in checked_indices(len(self._samples))]
        sizes, num_channels = _look_at(looked_at, found.settings.channels)
        with unpacked(looked_at[0].mask) as mask:
            self._codec, entries, class_notes = settle_classes(found, [mask])
        settings = found.settings
        self._cache = SampleCache(cache_mib)
        super().__init__(
            name="webdataset",
            split=split,
            class_names=tuple(entry.name for entry in entries),
            palette=colours_of_entries(entries),
            ignore_index=_SMALL if len(entries) <= _SMALL else _LARGE,
            largest_size=(max(height for height, _ in sizes), max(width for _, width in sizes)),
            attribution=settings.attribution,
            normalisation=(
                usual_normalisation(num_channels)
                if settings.mean is None or settings.std is None
                else Normalisation(mean=settings.mean, std=settings.std)
            ),
            notes=(
                f"{split}: {len(self._samples):,} samples in {len(self._shards)} shard(s); sizes "
                f"and channels are those of {len(looked_at)} images that were looked at",
                *notes,
                *class_notes,
            ),
        )

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        """Read a sample.

        Raises:
            FileError: If a file cannot be decoded, its mask holds what is no class, or the two
                differ in size; the message names shard and file.
        """
        self.check_index(index)
        image, label = self._cache.get(index, self._read)
        return Sample(image, label.to(torch.int64), self._samples[index].key)

    def check_labels(self) -> None:
        """Read the masks of `checked_indices`, and refuse values that are no class.

        Raises:
            FileError: As reading a sample does.
        """
        for index in checked_indices(len(self)):
            self._read_label(self._samples[index].mask)

    def _contents(self) -> Iterator[str]:
        yield from super()._contents()
        yield from self._codec.lines()
        yield f"{self.normalisation}"
        for shard in self._shards:
            yield f"{shard.name} {shard.stat().st_size}"

    def _read(self, index: int) -> Pixels:
        sample = self._samples[index]
        with unpacked(sample.image) as path:
            pixels = read_channels(path, self.num_channels)
        label = self._read_label(sample.mask)
        if tuple(label.shape) != pixels.shape[1:]:
            raise FileError(
                f"{printable(str(sample.image))} is {pixels.shape[1]} x {pixels.shape[2]} (height "
                f"x width), but its mask {sample.mask.name} is {label.shape[0]} x "
                f"{label.shape[1]}; they must be equal."
            )
        return torch.from_numpy(pixels), label

    def _read_label(self, member: Member) -> Tensor:
        with unpacked(member) as path:
            label = self._codec.decode(path, ignore_index=self.ignore_index)
        return torch.from_numpy(label.astype(np.uint8) if self.ignore_index == _SMALL else label)


def _find_shards(root: str) -> list[Path]:
    """List the shards that a folder, or a pattern with braces, names."""
    from webdataset.shardlists import expand_urls

    if (folder := Path(root).expanduser()).is_dir():
        shards = [path for path in sorted(folder.rglob("*.tar")) if path.name[0] != "."]
        if not shards:
            raise UsageError(f"webdataset: {printable(root)} holds no shard, *.tar.")
        return shards
    if re.match("[a-z][a-z0-9+]+:", root):
        raise UsageError(
            f"webdataset: {printable(root)}: shards are read from a folder, since training reads "
            "them in an order of its own; copy them to a disk."
        )
    with reading(root, "a pattern of shards"):
        shards = [Path(each).expanduser() for each in expand_urls(root)]
    missing = [shard for shard in shards if not shard.exists()]
    if missing:
        raise UsageError(
            f"webdataset: {len(missing)} of {len(shards)} shard(s) are missing, the first is "
            f"{printable(str(missing[0]))}."
        )
    return shards


def _description(root: str, shards: list[Path], path: Path | None) -> Description:
    """Read the dataset.toml, and refuse one that says nothing of classes, or what has no use."""
    folder = Path(root).expanduser()
    folder = folder if folder.is_dir() else shards[0].parent
    found = find_description(folder, path)
    if not found.classes:
        raise UsageError(
            "webdataset: nothing names the classes; write them into "
            f"{printable(str(found.path or folder / DESCRIPTION_NAME))}, each as [[classes]] with "
            "name and value (docs/your_images.md)."
        )
    settings = found.settings
    useless = [
        name for name in ("images", "masks", "group_by") if getattr(settings, name) is not None
    ]
    if useless or found.splits:
        raise FileError(
            f"{printable(str(found.path))}: {', '.join(useless or ['splits'])} has no meaning for "
            "shards, whose names say what they hold; leave it out."
        )
    return found


def _splits(
    shards: list[Path], description: Description
) -> tuple[dict[str, list[Path]], tuple[str, ...]]:
    """Tell each shard's split by its name or its folder; without val, some of train become it."""
    splits: dict[str, list[Path]] = {}
    for shard in shards:
        words = [*re.findall("[a-z]+", shard.stem.lower()), shard.parent.name.lower()]
        named = [_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS]
        splits.setdefault(named[0] if named else "train", []).append(shard)
    train = splits.get("train", [])
    if not train:
        raise UsageError(
            f"webdataset: all {len(shards)} shard(s) are {', '.join(splits)}; none is left to "
            "train on."
        )
    if "val" in splits:
        return splits, ()
    if len(train) < 2:
        raise UsageError(
            f"webdataset: {printable(str(train[0]))} is the only shard; at least 2 are needed, to "
            "train on one and validate on another."
        )
    settings = description.settings
    count = min(max(1, round(settings.val_share * len(train))), len(train) - 1)
    drawn = sorted(train, key=lambda shard: _draw(settings.split_seed, shard))[:count]
    splits["val"] = [shard for shard in train if shard in drawn]
    splits["train"] = [shard for shard in train if shard not in drawn]
    note = (
        f"no val split: {count} of {len(train)} training shards become val (val_share "
        f"{settings.val_share:g}, split_seed {settings.split_seed})"
    )
    return splits, (note,)


def _draw(seed: int, shard: Path) -> bytes:
    return hashlib.sha256(f"{seed} {shard.name}".encode("utf-8", "surrogateescape")).digest()


def _look_at(
    samples: list[ShardSample], num_channels: int | None
) -> tuple[list[tuple[int, int]], int]:
    """Read the sizes of some images, and their channels unless the description tells them."""
    sizes, found = [], []
    for sample in samples:
        with unpacked(sample.image) as path:
            size, channels = size_and_channels(path)
        sizes.append(size)
        found.append(channels)
    return sizes, max(found) if num_channels is None else num_channels
