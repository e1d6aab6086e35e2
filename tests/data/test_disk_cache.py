"""Decoded samples in a folder: the same as decoded ones, whatever happened to files and folder."""

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autoseg.config import DataConfig
from autoseg.data import build_split
from autoseg.data import disk_cache as module
from autoseg.data.camvid import CamVid
from autoseg.data.disk_cache import DiskCache
from autoseg.errors import UsageError


def pixels(number):
    image = torch.full((3, 4, 5), number, dtype=torch.uint8)
    return image, torch.arange(20, dtype=torch.int32).view(4, 5)


class Counted:
    """Makes samples and counts how often."""

    def __init__(self):
        self.made = []

    def __call__(self, index):
        self.made.append(index)
        return pixels(index)


def disk_cache(folder, *, max_gib=1.0, decoding=("rules",), sources=lambda index: ()):
    return DiskCache(folder, max_gib=max_gib, decoding=decoding, sources=sources)


def files_in(folder):
    return sorted((folder / "decoded").iterdir())


def test_another_process_finds_what_was_made(tmp_path):
    make = Counted()
    for _ in range(2):
        cache = disk_cache(tmp_path)
        for index in (3, 5, 3):
            image, label = cache.get(index, make)
            assert torch.equal(image, pixels(index)[0])
            assert torch.equal(label, pixels(index)[1])
            assert label.dtype == torch.int32
            image.zero_()  # of the caller alone
            label.zero_()
    assert make.made == [3, 5]
    disk_cache(tmp_path, decoding=("other rules",)).get(3, make)
    assert make.made == [3, 5, 3]


def test_a_changed_file_is_decoded_anew_and_replaced(tmp_path):
    source, make = tmp_path / "a.png", Counted()
    cache = disk_cache(tmp_path / "cache", sources=lambda index: (source,))
    source.write_bytes(b"12")
    for _ in range(2):
        cache.get(0, make)
    source.write_bytes(b"123")
    cache.get(0, make)
    os.utime(source, ns=(0, 0))  # of the same size
    for _ in range(2):
        cache.get(0, make)
    assert make.made == [0, 0, 0]
    assert len(files_in(tmp_path / "cache")) == 1
    source.unlink()
    cache.get(0, make)  # says in its own words that the file is gone
    assert make.made == [0, 0, 0, 0]


@pytest.mark.parametrize("damage", [lambda content: content[:-3], lambda content: b"", bytes.upper])
def test_a_damaged_sample_is_replaced(tmp_path, damage):
    make, cache = Counted(), disk_cache(tmp_path)
    cache.get(7, make)
    (path,) = files_in(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    for _ in range(2):
        assert torch.equal(disk_cache(tmp_path).get(7, make)[0], pixels(7)[0])
    assert make.made == [7, 7]


def test_labels_of_kept_samples_are_not_checked_again(tmp_path, camvid, monkeypatch):
    def opened():
        dataset = build_split(
            DataConfig(dataset="camvid", data_root=camvid, cache=tmp_path / "cache"), "train"
        )
        monkeypatch.setattr(
            dataset,
            "_read_label",
            lambda path, read=dataset._read_label: asked.append(path) or read(path),
        )
        return dataset

    asked = []
    opened().check_labels()
    num_labels = len(asked)
    assert num_labels > 1
    for sample in opened():
        assert sample.target is not None
    asked.clear()
    opened().check_labels()
    assert asked == []
    _, label = opened().sources(0)
    os.utime(label, ns=(1, 1))  # it may be another one now
    opened().check_labels()
    assert asked == [label]


def test_the_limit_is_kept_and_said_once(tmp_path):
    make, cache = Counted(), disk_cache(tmp_path, max_gib=600 / 2**30)
    with pytest.warns(UserWarning, match=r"takes no more decoded images: it holds .* \(--cache-g"):
        for index in (0, 1, 2, 3):  # each of 140 bytes, and a header
            cache.get(index, make)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for index in (0, 1, 2, 3):
            assert torch.equal(cache.get(index, make)[0], pixels(index)[0])
    kept = len(files_in(tmp_path))
    assert 1 <= kept <= 3
    assert sum(path.stat().st_size for path in files_in(tmp_path)) <= 600
    assert make.made == [0, 1, 2, 3, *range(kept, 4)]
    # Another process counts what is there.
    with pytest.warns(UserWarning, match="takes no more"):
        disk_cache(tmp_path, max_gib=600 / 2**30).get(9, make)


def test_a_full_disk_is_no_cache_and_no_crash(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(f"could not write {path}: No space left on device; 0.0 MiB are free.")

    make, cache = Counted(), disk_cache(tmp_path)
    cache.get(0, make)
    monkeypatch.setattr(module, "atomic_write", full)
    with pytest.warns(UserWarning, match=r"No space left on device.*are decoded each time\."):
        assert torch.equal(cache.get(1, make)[0], pixels(1)[0])
    for index in (0, 1):
        cache.get(index, make)
    assert make.made == [0, 1, 1]


def test_what_a_killed_process_left_goes_and_what_another_writes_stays(tmp_path):
    disk_cache(tmp_path)
    folder = tmp_path / "decoded"
    (folder / ".a.safetensors.1.tmp").touch()
    (folder / ".b.safetensors.2.tmp").touch()
    os.utime(folder / ".a.safetensors.1.tmp", (time.time() - 7200,) * 2)
    disk_cache(tmp_path)
    assert [path.name for path in files_in(tmp_path)] == [".b.safetensors.2.tmp"]


@pytest.fixture
def camvid(tmp_path):
    """Write a CamVid of two images a split."""
    root = tmp_path / "camvid"
    root.mkdir()
    generator = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("a", "b"):
            image = generator.integers(256, size=(8, 9, 3), dtype=np.uint8)
            Image.fromarray(image).save(root / f"{split}_{name}.png")
            label = generator.integers(12, size=(8, 9), dtype=np.uint8)
            Image.fromarray(label).save(root / f"{split}_{name}_label.png")
        lines = [f"{split}_{name}.png {split}_{name}_label.png" for name in ("a", "b")]
        (root / f"{split}.txt").write_text("\n".join(lines))
    return root


def test_a_dataset_keeps_its_samples_where_the_user_says(tmp_path, camvid, monkeypatch):
    plain = list(CamVid(split="train", data_root=camvid))
    reads = []
    read = CamVid._read
    monkeypatch.setattr(
        CamVid, "_read", lambda self, index: reads.append(index) or read(self, index)
    )
    for cache, expected in (
        (tmp_path / "cache", [0, 1]),
        (tmp_path / "cache", []),
        ("memory", [0, 1]),
        (None, [0, 1, 0, 1]),
    ):
        reads.clear()
        config = DataConfig(dataset="camvid", data_root=camvid, cache=cache)
        dataset = build_split(config, "train")
        for samples in (list(dataset), list(dataset)):
            for sample, other in zip(samples, plain, strict=True):
                assert torch.equal(sample.image, other.image)
                assert torch.equal(sample.target, other.target)
                assert sample.name == other.name
        assert reads == expected
    config = DataConfig(dataset="camvid", data_root=camvid, cache=tmp_path / "cache")
    assert not torch.equal(build_split(config, "val")[0].image, plain[0].image)


def test_drawn_scenes_are_told_apart(tmp_path):
    for values in ({}, {"num_classes": 5}, {"image_size": (32, 48)}):
        for split in ("train", "val"):
            kept = build_split(DataConfig(cache=tmp_path, **values), split)[0]
            drawn = build_split(DataConfig(**values), split)[0]
            assert torch.equal(kept.image, drawn.image)
            assert torch.equal(kept.target, drawn.target)
    assert len(files_in(tmp_path)) == 6


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(UsageError, match=r"^--cache-gib 2 with --cache none: nothing is kept"):
        DataConfig(cache=None, cache_gib=2.0)


def test_a_folder_that_cannot_be_is_refused_at_the_start(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"nothing can be written to .*file/decoded: Not a directory"):
        build_split(DataConfig(cache=Path(tmp_path / "file")), "train")
