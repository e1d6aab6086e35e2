"""The largest batch that memory holds, against an allocator with a limit."""

import pytest
import torch

from autoseg.cost import largest_batch


@pytest.fixture(autouse=True)
def no_collection(monkeypatch):
    """Leave Python's collector out: it walks over all that the other tests have made."""
    monkeypatch.setattr("gc.collect", lambda: 0)


def test_the_largest_batch_is_found_whatever_the_memory():
    for largest in (1, 2, 7, 16):
        for held in range(largest + 3):
            tried = []

            def step(batch_size, held=held, tried=tried):
                tried.append(batch_size)
                if batch_size > held:
                    raise torch.OutOfMemoryError("CUDA out of memory.")

            found = largest_batch(step, smallest=1, largest=largest)
            assert found == (min(held, largest) or None)
            assert len(tried) == len(set(tried)) and max(tried) <= largest


def test_another_error_is_no_lack_of_memory():
    def step(batch_size):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        largest_batch(step, smallest=1, largest=8)
