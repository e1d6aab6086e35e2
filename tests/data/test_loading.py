"""Batches are known by their number; halves are disjoint and complete."""

import gc
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor

from autoseg.data import Augmentation, Sample, SegmentationDataset, split_half, training_batches
from autoseg.data.loading import Batch
from autoseg.errors import FileError, UsageError

# Python 3.12 and later warn when a process with threads forks; torch's loader does so by design.
FORKS = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


class _Numbered(SegmentationDataset):
    """Sample `i` is filled with label `i`; the image is noise, so that crops differ."""

    def __init__(
        self, length: int, *, broken: int | None = None, error: Exception | None = None
    ) -> None:
        super().__init__(
            name="numbered",
            split="train",
            class_names=tuple(f"class {index}" for index in range(length)),
            palette=np.zeros((length, 3), np.uint8),
            ignore_index=255,
            largest_size=(6, 8),
        )
        self.broken = broken
        self.error = error

    def __len__(self) -> int:
        return self.num_classes

    def __getitem__(self, index: int) -> Sample:
        self.check_index(index)
        if index == self.broken:
            assert self.error is not None
            raise self.error
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(256, (3, 6, 8), generator=generator, dtype=torch.uint8)
        return Sample(image, torch.full((6, 8), index), str(index))


def _batches(
    length: int = 7,
    *,
    batch_size: int = 2,
    seed: int = 0,
    start_step: int = 0,
    num_workers: int = 0,
    indices: list[int] | None = None,
) -> Iterator[Batch]:
    return training_batches(
        _Numbered(length),
        indices=indices,
        augmentation=Augmentation(crop_size=(5, 6), scale_range=(1.0, 1.5)),
        batch_size=batch_size,
        seed=seed,
        start_step=start_step,
        num_workers=num_workers,
    )


def _visited(batches: Iterator[Batch], num_steps: int) -> list[int]:
    """The samples in order, read from their labels."""
    return [int(target[0, 0]) for _, targets in islice(batches, num_steps) for target in targets]


def _assert_same(left: list[Batch], right: list[Batch]) -> None:
    for (images, targets), (other_images, other_targets) in zip(left, right, strict=True):
        assert torch.equal(images, other_images)
        assert torch.equal(targets, other_targets)


def test_batches_have_the_promised_form() -> None:
    images, targets = next(_batches(batch_size=3))
    assert images.dtype == torch.float32
    assert images.shape == (3, 3, 5, 6)
    assert targets.dtype == torch.int64
    assert targets.shape == (3, 5, 6)


def test_each_epoch_visits_each_index_once() -> None:
    visited = _visited(_batches(6, batch_size=2), 12)
    epochs = [visited[start : start + 6] for start in range(0, 24, 6)]
    for epoch in epochs:
        assert sorted(epoch) == [0, 1, 2, 3, 4, 5]
    assert len({tuple(epoch) for epoch in epochs}) > 1  # in another order


def test_a_remainder_is_left_out_and_nothing_comes_twice() -> None:
    visited = _visited(_batches(7, batch_size=3), 40)  # 2 batches an epoch, 20 epochs
    for start in range(0, 120, 6):
        assert max(Counter(visited[start : start + 6]).values()) == 1
    assert set(visited) == set(range(7))  # not always the same one is left out


def test_only_the_given_indices_are_used() -> None:
    assert sorted(_visited(_batches(7, batch_size=3, indices=[5, 1, 2]), 1)) == [1, 2, 5]


@pytest.mark.parametrize("start_step", [1, 3, 4, 8])  # 3 batches an epoch
def test_starting_late_continues_bit_for_bit(start_step: int) -> None:
    whole = list(islice(_batches(), 10))
    rest = list(islice(_batches(start_step=start_step), 10 - start_step))
    _assert_same(whole[start_step:], rest)


@FORKS
def test_workers_change_nothing() -> None:
    _assert_same(
        list(islice(_batches(start_step=2), 6)),
        list(islice(_batches(start_step=2, num_workers=2), 6)),
    )


def test_seeds_differ_and_repeat() -> None:
    first, again, other = (next(_batches(seed=seed))[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_sample_is_augmented_anew_in_each_epoch() -> None:
    views = [images for images, _ in islice(_batches(1, batch_size=1), 6)]
    assert all(not torch.equal(views[0], view) for view in views[1:])


def test_augmentation_depends_on_the_sample_not_on_its_place_in_the_batch() -> None:
    def views(batch_size: int, num_steps: int) -> dict[int, Tensor]:
        return {
            int(target[0, 0]): image
            for images, targets in islice(_batches(6, batch_size=batch_size), num_steps)
            for image, target in zip(images, targets, strict=True)
        }

    alone, together = views(1, 6), views(6, 1)
    assert all(torch.equal(alone[index], together[index]) for index in range(6))


@FORKS
@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_global_random_state_is_neither_read_nor_changed(num_workers: int) -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    images, _ = next(_batches(num_workers=num_workers))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(next(_batches(num_workers=num_workers))[0], images)


@FORKS
@pytest.mark.parametrize(
    ("num_workers", "error"),
    [
        (0, FileError("frame_3.png is not an image")),
        (2, FileError("frame_3.png is not an image")),
        (1, UsageError("frame_3.png has a label that is no class")),
        (1, FileNotFoundError("frame_3.png cannot be read: No such file or directory.")),
    ],
)
def test_a_bad_file_is_named_without_a_workers_traceback(
    num_workers: int, error: Exception
) -> None:
    batches = training_batches(
        _Numbered(4, broken=3, error=error),
        augmentation=Augmentation(crop_size=(5, 6)),
        batch_size=2,
        seed=0,
        num_workers=num_workers,
    )
    with pytest.raises(type(error)) as caught:
        list(islice(batches, 2))
    assert str(caught.value) == str(error)


@FORKS
def test_an_error_ends_the_workers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    patience: list[float | None] = []
    joined = multiprocessing.Process.join

    def join(worker: multiprocessing.Process, timeout: float | None = None) -> None:
        joined(worker, timeout)
        patience.append(None if worker.exitcode is None else timeout)

    batches = training_batches(
        _Numbered(4, broken=3, error=FileError("frame_3.png is not an image")),
        augmentation=Augmentation(crop_size=(5, 6)),
        batch_size=2,
        seed=0,
        num_workers=1,
    )
    monkeypatch.setattr("multiprocessing.process.BaseProcess.join", join)
    with pytest.raises(FileError):
        list(islice(batches, 2))
    gc.collect()
    assert patience and None not in patience  # it ended by itself, before torch lost its patience


def test_a_batch_larger_than_the_set_is_refused_at_the_call() -> None:
    with pytest.raises(
        UsageError, match=r"batch_size 8 is larger than the 7 sample\(s\).*use batch_size <= 7"
    ):
        _batches(7, batch_size=8)
    with pytest.raises(UsageError, match=r"batch_size 3 is larger than the 2 sample\(s\)"):
        _batches(7, batch_size=3, indices=[0, 4])


def test_a_crop_larger_than_the_data_is_refused_at_the_call() -> None:
    message = (
        r"crop_size \(13, 10\) \(height, width\) is larger than the data: images of numbered "
        r"train are at most \(6, 8\), \(12, 16\) after scaling by 2.*use crop_size \(12, 10\)"
    )
    with pytest.raises(UsageError, match=message):
        training_batches(
            _Numbered(3), augmentation=Augmentation(crop_size=(13, 10)), batch_size=1, seed=0
        )
    both = (
        r"batch_size 9 is larger.*use batch_size <= 3.*; and crop_size \(13, 10\) .*\(12, 10\) or"
    )
    with pytest.raises(UsageError, match=both):
        training_batches(
            _Numbered(3), augmentation=Augmentation(crop_size=(13, 10)), batch_size=9, seed=0
        )
    # The largest one that fits is accepted.
    images, _ = next(
        training_batches(
            _Numbered(3), augmentation=Augmentation(crop_size=(12, 16)), batch_size=1, seed=0
        )
    )
    assert images.shape == (1, 3, 12, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size 0 must be at least 1"),
        ({"start_step": -1}, "start_step -1"),
        ({"num_workers": -2}, "num_workers -2"),
        ({"seed": -5}, "seed -5"),
        ({"indices": [1, 2, 1]}, "indices name a sample twice"),
    ],
)
def test_numbers_out_of_range_are_refused_at_the_call(
    arguments: dict[str, int], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        _batches(**arguments)  # pyright: ignore[reportArgumentType] one of several keywords


def test_an_index_outside_the_dataset_is_refused_at_the_call() -> None:
    with pytest.raises(IndexError, match="sample 7 does not exist; the split has 7"):
        _batches(7, indices=[0, 3, 7])


@pytest.mark.parametrize("num_samples", [2, 7, 10, 367])
def test_halves_are_disjoint_complete_and_equal(num_samples: int) -> None:
    first, second = split_half(num_samples, seed=0)
    assert sorted(first + second) == list(range(num_samples))
    assert len(first) - len(second) == num_samples % 2
    assert first == sorted(first)
    assert second == sorted(second)


def test_the_seed_decides_the_halves() -> None:
    assert split_half(50, seed=1) == split_half(50, seed=1)
    assert split_half(50, seed=1) != split_half(50, seed=2)


def test_halves_are_a_random_choice() -> None:
    # Sample 0 lands in the first half in about half of the splits: 100 +- 7, five deviations.
    assert abs(sum(0 in split_half(10, seed=seed)[0] for seed in range(200)) - 100) < 36


def test_a_single_sample_cannot_be_halved() -> None:
    with pytest.raises(UsageError, match=r"1 sample\(s\) cannot be split .* at least 2"):
        split_half(1, seed=0)
