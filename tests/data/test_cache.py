"""The cache saves work, and nothing else."""

import torch

from autoseg.data.cache import Pixels, SampleCache


class _Counted:
    """Makes samples of 3 * 16 + 16 = 64 bytes and counts how often."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def __call__(self, index: int) -> Pixels:
        self.made.append(index)
        image = torch.full((3, 4, 4), index, dtype=torch.uint8)
        return image, torch.full((4, 4), index, dtype=torch.uint8)


def test_a_sample_is_made_once() -> None:
    make, cache = _Counted(), SampleCache(1.0)
    for index in (3, 5, 3, 3, 5):
        image, label = cache.get(index, make)
        assert image.unique().tolist() == label.unique().tolist() == [index]
    assert make.made == [3, 5]


def test_the_budget_is_kept() -> None:
    # 150 bytes hold two samples of 64 bytes.
    make, cache = _Counted(), SampleCache(150 / 2**20)
    for index in (0, 1, 2, 0, 1, 2):
        cache.get(index, make)
    assert make.made == [0, 1, 2, 2]


def test_no_budget_keeps_nothing() -> None:
    make, cache = _Counted(), SampleCache(0)
    cache.get(0, make)
    cache.get(0, make)
    assert make.made == [0, 0]


def test_the_caller_may_change_what_it_gets() -> None:
    make, cache = _Counted(), SampleCache(1.0)
    for _ in range(3):
        image, label = cache.get(7, make)
        assert image.unique().tolist() == label.unique().tolist() == [7]
        image.zero_()
        label.zero_()
