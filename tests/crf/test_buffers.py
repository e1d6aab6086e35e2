"""Memory of results is used again once nobody can see it, and not before."""

import threading

import pytest
import torch

from autoseg.crf import buffers


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(buffers, "_kept", {})


def kept_bytes():
    return sum(4 * len(buffer) for buffer in buffers._kept.values())


@pytest.mark.parametrize("inference", [False, True])
def test_memory_is_used_again(inference):
    with torch.inference_mode(inference):
        first = buffers.empty((3, 50, 70))
        assert (first.shape, first.dtype, first.is_contiguous()) == (
            (3, 50, 70),
            torch.float32,
            True,
        )
        address = first.data_ptr()
        assert address % 64 == 0
        del first
        smaller = buffers.empty((3, 50, 40))
        assert smaller.data_ptr() == address
        assert smaller.is_inference() == inference
        del smaller
        assert buffers.empty((3, 50, 20)).data_ptr() != address  # less than half as large
        assert buffers.empty((3, 50, 71)).data_ptr() != address


@pytest.mark.parametrize(
    "derive",
    [
        lambda tensor: tensor[1:],
        lambda tensor: tensor.transpose(0, 2)[3],
        lambda tensor: tensor.detach().flatten()[-1],
        lambda tensor: tensor.numpy(),
        lambda tensor: tensor.numpy()[:, 4],
        lambda tensor: torch.from_numpy(tensor.numpy()[1]),
        lambda tensor: torch.from_dlpack(tensor),
        lambda tensor: tensor.untyped_storage(),
        lambda tensor: memoryview(tensor.numpy()),
        lambda tensor: torch.nn.Parameter(tensor),
    ],
)
def test_memory_that_anything_sees_is_not_used_again(derive):
    tensor = buffers.empty((3, 50, 70))
    address = tensor.data_ptr()
    view = derive(tensor)
    del tensor
    assert not buffers._kept
    assert buffers.empty((3, 50, 70)).data_ptr() != address
    before = len(buffers._kept)  # of that second one
    del view
    assert len(buffers._kept) == before + 1


def test_what_is_kept_has_a_limit(monkeypatch):
    monkeypatch.setattr(buffers, "LARGEST_BYTES", 4000)
    monkeypatch.setattr(buffers, "MOST_BYTES", 10000)
    buffers.empty((1001,))
    assert kept_bytes() == 0
    held = [buffers.empty((count,)) for count in (1000, 900, 800, 700)]
    while held:
        held.pop(0)
        assert kept_bytes() <= 10000
    assert sorted(map(len, buffers._kept.values())) == [700, 800, 900]  # the oldest went
    assert buffers.empty((0,)).numel() == 0


def test_threads_never_share_memory():
    failures = []

    def work(number):
        for step in range(300):
            tensor = buffers.empty((2, 100 + step % 7))
            tensor.fill_(number)
            tensor += 1
            if not (tensor == number + 1).all():
                failures.append(number)

    threads = [threading.Thread(target=work, args=(10 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert 0 < kept_bytes() <= buffers.MOST_BYTES
