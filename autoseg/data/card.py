"""A dataset's card: what its images and labels hold, and what is wrong with them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from autoseg.contract import SegmentationDataset
from autoseg.data.lost_worker import explaining_lost_workers
from autoseg.foreign_text import listed

DOMINANT_SHARE = 0.95
"""A class of more than this share of the labelled pixels hides the others in an average."""

_SIDE = 16  # the perceptual hash has _SIDE * _SIDE bits
_NEAR_BITS = 8  # so few of them differ between copies that were resized or compressed anew
_FLAT = 2.0  # grey levels: a picture with less contrast has no hash of its own
_NUM_BITS = np.array([number.bit_count() for number in range(256)], dtype=np.uint16)
_MANY = 64  # images from which on several processes read them faster


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleFacts:
    """What a card keeps of one sample."""

    name: str
    size: tuple[int, int]
    """Height and width."""
    counts: NDArray[np.int64]
    """Pixels of each class, then those without one, (K + 1,)."""
    content: bytes
    """Checksum of the image's pixels."""
    look: NDArray[np.uint8] | None
    """Perceptual hash, which a copy of other size or quality shares; None for a flat picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitFacts:
    """What a card keeps of a split."""

    split: str
    samples: tuple[SampleFacts, ...]
    """The samples that could be read."""
    errors: tuple[str, ...]
    """Why the others could not."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """Pixels of each class, then those without one, (K + 1,)."""
        return np.asarray(sum(sample.counts for sample in self.samples), dtype=np.int64)

    @property
    def num_images(self) -> NDArray[np.int64]:
        """Images that show each class, then those with pixels without one, (K + 1,)."""
        return np.asarray(sum(sample.counts > 0 for sample in self.samples), dtype=np.int64)


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetCard:
    """What is known of a dataset."""

    name: str
    class_names: tuple[str, ...]
    palette: NDArray[np.uint8]
    num_channels: int
    notes: tuple[str, ...]
    """How it was found."""
    splits: tuple[SplitFacts, ...]
    faults: tuple[str, ...]
    """What would end a training, each with its file."""
    warnings: tuple[str, ...]
    """What makes a score doubtful or a class unlearnable."""


def make_card(
    datasets: Sequence[SegmentationDataset],
    *,
    num_workers: int = 0,
    on_sample: Callable[[], None] = lambda: None,
) -> DatasetCard:
    """Read every sample of some splits.

    Args:
        datasets: The splits, train first.
        num_workers: Processes that read large splits; 0 reads here.
        on_sample: Called after each sample.
    """
    first = datasets[0]
    splits = tuple(_read_split(each, num_workers, on_sample) for each in datasets)
    return DatasetCard(
        name=first.name,
        class_names=first.class_names,
        palette=first.palette,
        num_channels=first.num_channels,
        notes=tuple(dict.fromkeys(note for each in datasets for note in each.notes)),
        splits=splits,
        faults=tuple(error for split in splits for error in split.errors),
        warnings=(
            *_class_warnings(splits, first.class_names),
            *_copies(splits),
            *_lookalikes(splits),
        ),
    )


def _read_split(
    dataset: SegmentationDataset, num_workers: int, on_sample: Callable[[], None]
) -> SplitFacts:
    samples, errors = [], []
    workers = num_workers if len(dataset) >= _MANY else 0
    facts = DataLoader(_Facts(dataset), batch_size=None, num_workers=workers)
    with explaining_lost_workers("free some of it and try again"):
        for fact in facts:
            (errors if isinstance(fact, str) else samples).append(fact)
            on_sample()
    return SplitFacts(split=dataset.split, samples=tuple(samples), errors=tuple(errors))


class _Facts(Dataset["SampleFacts | str"]):
    """The facts of each sample of a dataset, or the reason why there are none."""

    def __init__(self, dataset: SegmentationDataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> SampleFacts | str:
        if index >= len(self):
            raise IndexError(index)
        try:
            sample = self._dataset[index]
        except (ValueError, OSError) as error:  # FileError, or a file that is gone
            return str(error)
        target, num_classes = sample.target, self._dataset.num_classes
        counts = torch.bincount(target.flatten(), minlength=num_classes)[:num_classes]
        counts = torch.cat([counts, (target.numel() - counts.sum())[None]])
        return SampleFacts(
            name=sample.name,
            size=(target.shape[0], target.shape[1]),
            counts=counts.numpy(),
            content=hashlib.sha256(sample.image.numpy().tobytes()).digest(),
            look=perceptual_hash(sample.image),
        )


def perceptual_hash(image: Tensor) -> NDArray[np.uint8] | None:
    """Hash what an image, uint8 (C, H, W), looks like: does it get brighter from left to right?

    Returns:
        256 bits as (32,), one for each place of a coarse grid; None for a picture without contrast.
    """
    grey = image.to(torch.float32).mean(dim=0)[None, None]
    coarse = F.interpolate(
        grey, size=(_SIDE, _SIDE + 1), mode="bilinear", align_corners=False, antialias=True
    )[0, 0]
    if float(coarse.std()) < _FLAT:
        return None
    bits = (coarse[:, 1:] > coarse[:, :-1]).numpy()
    return np.packbits(bits)


def _class_warnings(splits: Sequence[SplitFacts], class_names: Sequence[str]) -> list[str]:
    warnings = []
    for split in splits:
        if not split.samples:
            continue
        counts, num_classes = split.counts, len(class_names)
        labelled = int(counts[:num_classes].sum())
        if labelled == 0:
            warnings.append(f"{split.split}: no pixel has a class")
            continue
        absent = [name for name, count in zip(class_names, counts[:-1], strict=True) if count == 0]
        if absent:
            warnings.append(f"{split.split}: no pixel is {listed(absent)}")
        largest = int(counts[:-1].argmax())
        share = counts[largest] / labelled
        if share > DOMINANT_SHARE:
            warnings.append(dominance(split.split, class_names[largest], float(share)))
        single = [s.name for s in split.samples if (s.counts[:-1] > 0).sum() <= 1]
        if single and len(single) < len(split.samples):
            warnings.append(
                f"{split.split}: {len(single)} of {len(split.samples)} labels hold one class or "
                f"none: {listed(single)}"
            )
    return warnings


def dominance(split: str, class_name: str, share: float) -> str:
    """Say that one class has nearly all pixels, and what to do about it."""
    return (
        f"{split}: {share:.1%} of the labelled pixels are {class_name}; a network that predicts "
        "nothing else looks good by its pixel accuracy. Consider --class-uniform 0.5 (half of the "
        "crops show a class drawn at random); in a retraining also --class-weights "
        "median_frequency or --loss cross_entropy dice"
    )


def _copies(splits: Sequence[SplitFacts]) -> list[str]:
    """Find images of equal pixels, within a split and between two."""
    owners: dict[bytes, list[tuple[str, str]]] = {}
    for split in splits:
        for sample in split.samples:
            owners.setdefault(sample.content, []).append((split.split, sample.name))
    groups = [group for group in owners.values() if len(group) > 1]
    leaks = [group for group in groups if len({split for split, _ in group}) > 1]
    within = [group for group in groups if group not in leaks]
    warnings = []
    if leaks:
        shown = listed([_as_one(group) for group in leaks])
        warnings.append(f"{len(leaks)} image(s) are in several splits, pixel for pixel: {shown}")
    if within:
        shown = listed([_as_one(group) for group in within])
        warnings.append(f"{len(within)} image(s) are there several times: {shown}")
    return warnings


def _lookalikes(splits: Sequence[SplitFacts]) -> list[str]:
    """Find images of one split that look like one of another."""
    warnings = []
    for number, split in enumerate(splits):
        for other in splits[number + 1 :]:
            pairs = _near(split.samples, other.samples)
            if pairs:
                shown = listed([f"{a} and {b}" for a, b in pairs])
                warnings.append(
                    f"{len(pairs)} image(s) of {other.split} look like one of {split.split} "
                    f"(another size or quality of it, or the next frame): {shown}"
                )
    return warnings


def _near(one: Sequence[SampleFacts], other: Sequence[SampleFacts]) -> list[tuple[str, str]]:
    known = [sample for sample in one if sample.look is not None]
    if not known:
        return []
    looks = np.stack([sample.look for sample in known if sample.look is not None])  # (N, 32)
    contents = {sample.content for sample in one}
    pairs = []
    for sample in other:
        if sample.look is None or sample.content in contents:  # copies are told elsewhere
            continue
        distances = _NUM_BITS[looks ^ sample.look].sum(axis=1)
        nearest = int(distances.argmin())
        if distances[nearest] <= _NEAR_BITS:
            pairs.append((known[nearest].name, sample.name))
    return pairs


def _as_one(group: Sequence[tuple[str, str]]) -> str:
    return " = ".join(f"{split}/{name}" for split, name in group[:3])
