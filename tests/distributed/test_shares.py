"""Shares of a batch and of a split."""

import pytest

from autoseg.distributed import own_indices, own_positions, shares
from autoseg.errors import UsageError


@pytest.fixture
def be(monkeypatch):
    def become(rank, number):
        monkeypatch.setattr(shares, "process_rank", lambda: rank)
        monkeypatch.setattr(shares, "num_processes", lambda: number)

    return become


@pytest.mark.parametrize(("size", "number"), [(7, 3), (3, 5), (8, 4), (0, 2), (5, 1)])
def test_every_image_has_one_process_and_none_has_two_more_than_another(be, size, number):
    shares = []
    for rank in range(number):
        be(rank, number)
        shares.append(list(own_indices(range(size))))
    assert [index for share in shares for index in share] == list(range(size))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_batch_is_shared_evenly(be):
    shares = []
    for rank in range(3):
        be(rank, 3)
        shares += range(6)[own_positions(6)]
    assert shares == list(range(6))


@pytest.mark.parametrize(("size", "fitting"), [(8, "6 or 9"), (2, "3"), (4, "3 or 6")])
def test_a_batch_that_cannot_be_is_refused_with_those_that_can(be, size, fitting):
    be(0, 3)
    with pytest.raises(UsageError, match=f"batch_size = {size}: 3 processes.*batch-size {fitting}"):
        own_positions(size)
