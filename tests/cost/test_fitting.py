"""The largest batch that memory holds, against an allocator with a limit."""

import pytest
import torch

from autoseg.cost import fitting, foreseen_batch, free_memory_mib, largest_batch, worthwhile_batch


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


def test_what_each_image_adds_says_how_many_fit():
    for weights, image, free in ((3.0, 2.0, 20.0), (0.0, 4.0, 16.0), (5.0, 0.5, 5.4), (9, 1, 10)):
        held = max((n for n in range(1, 100) if weights + n * image <= free), default=None)
        found = foreseen_batch(lambda n, w=weights, i=image: w + n * i, free_mib=free, largest=99)
        assert found == held
    assert foreseen_batch(lambda n: n, free_mib=50.0, largest=7) == 7
    assert foreseen_batch(lambda n: None, free_mib=50.0, largest=7) == 7
    assert foreseen_batch(lambda n: n, free_mib=None, largest=7) == 7


def test_batches_are_doubled_while_that_is_worth_it():
    # A call takes a fixed part and one for each image: from n to 2n images a second rise by
    # fixed / (fixed + 2n), below 2 % from n = 25 fixed on.
    assert worthwhile_batch(lambda n: 1.0 + n, largest=1000) == 32
    assert worthwhile_batch(lambda n: 1.0 + n, largest=31) == 16
    assert worthwhile_batch(lambda n: float(n), largest=1000) == 1


def test_free_memory_is_that_of_the_container_where_it_is_less(monkeypatch, tmp_path):
    meminfo, cgroup = tmp_path / "meminfo", tmp_path / "cgroup"
    monkeypatch.setattr(fitting, "_MEMINFO", meminfo)
    monkeypatch.setattr(fitting, "_CGROUP", cgroup)
    assert free_memory_mib() is None
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable:  4096 kB\n")
    assert free_memory_mib() == 4
    cgroup.mkdir()
    (cgroup / "memory.current").write_text("1048576\n")
    (cgroup / "memory.max").write_text("max\n")
    assert free_memory_mib() == 4
    (cgroup / "memory.max").write_text("2097152\n")
    assert free_memory_mib() == 1
