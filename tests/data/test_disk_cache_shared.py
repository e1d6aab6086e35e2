"""One folder of decoded samples and several live processes: each reads what it would decode."""

import multiprocessing
import os
import signal

import torch

from autoseg import atomic
from autoseg.data import disk_cache as module
from autoseg.data.disk_cache import DiskCache

FORK = multiprocessing.get_context("fork")


def disk_cache(folder, *, max_bytes=2**20, sources=lambda index: ()):
    return DiskCache(folder, max_gib=max_bytes / 2**30, decoding=("rules",), sources=sources)


def pixels(number):
    """Make a sample of several pages of memory, each byte of which tells its number."""
    return torch.full((3, 64, 64), number, dtype=torch.uint8), torch.full((64, 64), number)


def in_processes(work, count):
    """Run `work(number)` in so many processes at once; return how each ended."""
    processes = [FORK.Process(target=work, args=(number,)) for number in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def test_writers_and_readers_of_samples_that_change_get_what_they_would_decode(tmp_path):
    """Each process changes files of its own and reads those of the others meanwhile."""
    files = [tmp_path / f"{index}.png" for index in range(4)]
    for file in files:
        file.write_bytes(b"\1")

    def decode(index):
        return pixels(len(files[index].read_bytes()))

    def work(number):
        cache = disk_cache(tmp_path / "cache", sources=lambda index: (files[index],))
        for turn in range(2, 12):
            with files[number].open("ab") as file:
                file.write(b"\1")  # one byte longer: the sample is decoded anew, and replaced
            for index in range(len(files)):
                image, label = cache.get(index, decode)
                (value,) = image.unique().tolist()
                assert label.unique().tolist() == [value]
                assert index != number or value == turn

    assert in_processes(work, len(files)) == [0] * len(files)
    cache = disk_cache(tmp_path / "cache", sources=lambda index: (files[index],))
    for index in range(len(files)):
        assert cache.get(index, decode)[0].unique().tolist() == [11]


def test_a_writer_that_is_killed_leaves_no_sample(tmp_path, monkeypatch):
    cache = disk_cache(tmp_path)
    cache.get(0, pixels)

    def work(number):
        monkeypatch.setattr(os, "fsync", lambda descriptor: os.kill(os.getpid(), signal.SIGKILL))
        cache.get(1, pixels)

    assert in_processes(work, 1) == [-signal.SIGKILL]
    made = []
    for _ in range(2):
        image, _ = disk_cache(tmp_path).get(1, lambda index: made.append(index) or pixels(7))
        assert image.unique().tolist() == [7]
    assert made == [1]
    names = [path.name for path in (tmp_path / "decoded").iterdir()]
    assert sum(name.endswith(".safetensors") for name in names) == 2
    assert sum(name.endswith(".tmp") for name in names) == 1  # goes when it is an hour old


def test_writers_of_one_process_number_keep_apart(tmp_path, monkeypatch):
    """In two containers the processes have the same number, and may write the same sample."""
    path = tmp_path / "sample"

    def slowly(file):
        file.write(b"first half, ")
        atomic.atomic_write(path, b"the other's")
        assert path.read_bytes() == b"the other's"
        file.write(b"second half")

    monkeypatch.setattr(os, "getpid", lambda: 1)
    atomic.atomic_write(path, slowly)
    assert path.read_bytes() == b"first half, second half"
    assert [each.name for each in tmp_path.iterdir()] == ["sample"]


def test_processes_keep_the_limit_together(tmp_path, monkeypatch):
    """Beyond it may be what three wrote while the fourth measured: a sample each."""
    monkeypatch.setattr(module.warnings, "warn", lambda *args, **kwargs: None)
    limit = 64 * 50_000  # a sample has 45 thousand bytes

    def work(number):
        cache = disk_cache(tmp_path, max_bytes=limit)
        for index in range(60):
            cache.get(100 * number + index, lambda index: pixels(3))

    assert in_processes(work, 4) == [0] * 4
    sizes = [path.stat().st_size for path in (tmp_path / "decoded").iterdir()]
    assert sum(sizes) <= limit + 3 * max(sizes)
    assert sum(sizes) > 0.9 * limit
