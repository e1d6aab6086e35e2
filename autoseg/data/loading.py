"""Endless training batches of which each one is known by its number alone."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from autoseg.contract import ReadsRegions, SegmentationDataset
from autoseg.data.crops import ANYWHERE
from autoseg.data.transforms import Augmentation
from autoseg.errors import FileError, UsageError

# First word of every seed sequence below: keeps the streams of random numbers apart.
_SPLIT, _ORDER, _AUGMENTATION, _BATCH = 0, 1, 2, 3

Key = tuple[int, int]  # epoch, index of the sample in the dataset
Batch = tuple[Tensor, Tensor]


def split_half(num_samples: int, *, seed: int) -> tuple[list[int], list[int]]:
    """Split a training set at random into two halves, for weights and for the architecture.

    Args:
        num_samples: Size of the set, at least 2.
        seed: Decides the split.

    Returns:
        Two ascending lists of indices, disjoint and together complete; the first one is longer by
        one where `num_samples` is odd.

    Raises:
        UsageError: If there are fewer than two samples.

    Source: Liu et al. 2019 (Auto-DeepLab, arXiv 1901.02985), section 4.2, trainA and trainB.
    """
    if num_samples < 2:
        raise UsageError(
            f"split_half: {num_samples} sample(s) cannot be split into two halves; "
            "the search needs at least 2 training images."
        )
    order = torch.randperm(num_samples, generator=_generator(_SPLIT, seed)).tolist()
    middle = (num_samples + 1) // 2
    return sorted(order[:middle]), sorted(order[middle:])


def training_batches(
    dataset: SegmentationDataset,
    *,
    indices: Sequence[int] | None = None,
    augmentation: Augmentation,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    num_workers: int = 0,
    positions: slice = slice(None),
) -> Iterator[Batch]:
    """Give augmented batches without end.

    Batch number `step` is a pure function of `seed` and `step`: the order within an epoch comes
    from (seed, epoch), the augmentation of a sample from (seed, epoch, index). An iterator that
    starts at step k therefore continues one that was stopped after k batches exactly, whatever the
    number of workers. Each epoch visits each index at most once; a remainder smaller than a batch
    is left out. The global random state is neither read nor changed.

    Args:
        dataset: Where the samples come from.
        indices: The samples to use; None for all.
        augmentation: Applied to each sample; sets the size of the batches.
        batch_size: N, the number of samples in every batch.
        seed: Decides order and augmentation.
        start_step: Number of the first batch given.
        num_workers: Processes that prepare batches ahead; 0 prepares each one when it is asked for.
        positions: The samples of each batch that are given, by their places in it; all by default.

    Returns:
        Iterator over (images float32 (N, C, h, w), normalised; targets int64 (N, h, w)).

    Raises:
        UsageError: At the call, if the batch is larger than the set, the crop larger than any
            image can become, or a number is out of range.
    """
    chosen = list(range(len(dataset))) if indices is None else [int(index) for index in indices]
    _check_numbers(batch_size=batch_size, seed=seed, start_step=start_step, num_workers=num_workers)
    _check_data(dataset, chosen, augmentation, batch_size)
    batches = DataLoader(
        _AugmentedSamples(dataset, augmentation, seed),
        batch_sampler=_BatchKeys(chosen, batch_size, seed, start_step, positions),
        collate_fn=_collate,
        num_workers=num_workers,
        generator=torch.Generator(),  # else the loader draws its base seed from the global state
    )
    return _raise_errors(batches)


def _check_numbers(*, batch_size: int, seed: int, start_step: int, num_workers: int) -> None:
    rules = {
        "batch_size": (batch_size, 1),
        "seed": (seed, 0),
        "start_step": (start_step, 0),
        "num_workers": (num_workers, 0),
    }
    for name, (value, smallest) in rules.items():
        if value < smallest:
            raise UsageError(f"training_batches: {name} {value} must be at least {smallest}.")


def _check_data(
    dataset: SegmentationDataset, indices: list[int], augmentation: Augmentation, batch_size: int
) -> None:
    if len(set(indices)) < len(indices):
        raise UsageError("training_batches: indices name a sample twice; list each one once.")
    for index in (min(indices, default=0), max(indices, default=0)):
        dataset.check_index(index)
    problems = []  # all at once, with what to set: a user has them all in one dataset
    if batch_size > len(indices):
        problems.append(
            f"batch_size {batch_size} is larger than the {len(indices)} sample(s) to draw from "
            f"({dataset.name} {dataset.split}); use batch_size <= {len(indices)}, or more images"
        )
    largest_scale = augmentation.scale_range[1]
    largest = tuple(round(side * largest_scale) for side in dataset.largest_size)
    crop = augmentation.crop_size
    if crop[0] > largest[0] or crop[1] > largest[1]:
        fitting = tuple(min(pair) for pair in zip(crop, largest, strict=True))
        problems.append(
            f"crop_size {crop} (height, width) is larger than the data: images of {dataset.name} "
            f"{dataset.split} are at most {dataset.largest_size}, {largest} after scaling by "
            f"{largest_scale:g}, so every crop would be padded; use crop_size {fitting} or smaller"
        )
    if problems:
        raise UsageError(f"training_batches: {'; and '.join(problems)}.")


_SAMPLE_ERRORS = (UsageError, FileError, OSError)
"""What a sample that cannot be read is told by, with its file's name."""
SampleError = UsageError | FileError | OSError


class _AugmentedSamples(Dataset[tuple[Tensor, Tensor] | SampleError]):
    """Augmented samples by (epoch, index); knows no state, so a worker needs no messages."""

    def __init__(self, dataset: SegmentationDataset, augmentation: Augmentation, seed: int) -> None:
        self.dataset = dataset
        self.augmentation = augmentation
        self.seed = seed

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor] | SampleError:
        epoch, index = key
        try:
            return self._augmented(index, _generator(_AUGMENTATION, self.seed, epoch, index))
        except _SAMPLE_ERRORS as error:
            # Returned, not raised: a worker's exception arrives wrapped in its traceback, and the
            # name of the bad file would drown in it.
            return error

    def _augmented(self, index: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        dataset = self.dataset
        rules = {"ignore_index": dataset.ignore_index, "normalisation": dataset.normalisation}
        # A rule of classes looks at the whole label.
        if isinstance(dataset, ReadsRegions) and self.augmentation.crop_rule == ANYWHERE:
            size = dataset.region_size(index)
            if size is not None:
                read = partial(dataset.read_region, index)
                return self.augmentation.region_crop(size, read, generator, **rules)
        return self.augmentation(dataset[index], generator, **rules)


class _BatchKeys:
    """The keys of every batch from `start_step` on, without end; can be iterated anew."""

    def __init__(
        self, indices: list[int], batch_size: int, seed: int, start_step: int, positions: slice
    ) -> None:
        self.indices = indices
        self.batch_size = batch_size
        self.seed = seed
        self.start_step = start_step
        self.positions = positions

    def __iter__(self) -> Iterator[list[Key]]:
        steps_per_epoch = len(self.indices) // self.batch_size
        epoch, step = divmod(self.start_step, steps_per_epoch)
        while True:
            order = torch.randperm(
                len(self.indices), generator=_generator(_ORDER, self.seed, epoch)
            ).tolist()
            for start in range(
                step * self.batch_size, steps_per_epoch * self.batch_size, self.batch_size
            ):
                yield [
                    (epoch, self.indices[position])
                    for position in order[start : start + self.batch_size][self.positions]
                ]
            epoch, step = epoch + 1, 0


def _collate(samples: list[tuple[Tensor, Tensor] | SampleError]) -> Batch | SampleError:
    """Stack samples; the first error stands for the whole batch."""
    images, targets = [], []
    for sample in samples:
        if isinstance(sample, _SAMPLE_ERRORS):
            return sample
        images.append(sample[0])
        targets.append(sample[1])
    return torch.stack(images), torch.stack(targets)


def _raise_errors(batches: DataLoader[Batch | SampleError]) -> Iterator[Batch]:
    waiting = iter(batches)
    try:
        for batch in waiting:
            if isinstance(batch, _SAMPLE_ERRORS):
                raise batch
            yield batch
    finally:
        # An error holds this frame, which must not hold the loader: as part of a cycle its queues
        # are closed before its processes are told to end, and it waits 5 s for each of them.
        del waiting


def batch_generator(seed: int, step: int) -> torch.Generator:
    """Seed a CPU generator for what is drawn once a batch, from the seed and the batch's number."""
    return _generator(_BATCH, seed, step)


def _generator(*words: int) -> torch.Generator:
    """Seed a CPU generator from several non-negative integers, so that no two sets collide."""
    (state,) = np.random.SeedSequence(words).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state))
