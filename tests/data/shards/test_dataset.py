"""Datasets in shards, against the webdataset library's own reading of them."""

import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from autoseg.config import DataConfig
from autoseg.data import Augmentation, build_dataset, build_split, training_batches
from autoseg.data.shards import dataset as module
from autoseg.errors import FileError, UsageError
from tests.data.folder.drawing import colour, mask

wds = pytest.importorskip("webdataset")
tariterators = pytest.importorskip("webdataset.tariterators")

SIZE = (10, 14)
NUM_SHARDS, NUM_IN_SHARD = 3, 4
CLASSES = "".join(
    f'[[classes]]\nname = "{name}"\nvalue = {value}\n' for name, value in (("sea", 0), ("land", 9))
)


def encoded(pixels, ending):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, {"jpg": "JPEG"}.get(ending, ending))
    return file.getvalue()


def write_shard(path, samples):
    """Write samples, each a key and its files by ending, as the library does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wds.TarWriter(str(path), encoder=False) as writer:
        for key, files in samples.items():
            writer.write({"__key__": key, **files})


def files_of(number, endings=("png", "seg.png")):
    image, label = endings
    return {
        image: encoded(colour(number, SIZE), image.rsplit(".", maxsplit=1)[-1]),
        label: encoded(mask(0, 9, 255, size=SIZE), "png"),
        "json": b"{}",
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Write three shards for training, one for validation, and a description."""
    folder = tmp_path_factory.mktemp("shards")
    for number in range(NUM_SHARDS):
        keys = range(NUM_IN_SHARD * number, NUM_IN_SHARD * (number + 1))
        write_shard(
            folder / f"train-{number:03}.tar", {f"a/{key:04}": files_of(key) for key in keys}
        )
    write_shard(folder / "val-000.tar", {"a/0100": files_of(100, ("jpg", "png"))})
    (folder / "dataset.toml").write_text(CLASSES)
    return folder


def read_by_the_library(paths):
    """Give the library's samples; it would leave the files open that it opens itself."""
    for path in paths:
        with path.open("rb") as stream:
            members = tariterators.tar_file_expander([{"url": str(path), "stream": stream}])
            yield from tariterators.group_by_keys(members)


def test_samples_are_those_of_the_library_in_its_order(root):
    train = build_dataset("webdataset", split="train", data_root=root)
    paths = [root / f"train-{number:03}.tar" for number in range(NUM_SHARDS)]
    expected = list(read_by_the_library(paths))
    assert len(train) == len(expected) == NUM_SHARDS * NUM_IN_SHARD
    for sample, other in zip(train, expected, strict=True):
        assert sample.name == other["__key__"]
        image, label = (
            np.asarray(Image.open(io.BytesIO(other[ending]))) for ending in ("png", "seg.png")
        )
        assert np.array_equal(sample.image.permute(1, 2, 0), image)
        assert np.array_equal(sample.target, np.select([label == 0, label == 9], [0, 1], 255))
    assert train.class_names == ("sea", "land")
    assert (train.largest_size, train.num_channels) == (SIZE, 3)
    assert len(build_dataset("webdataset", split="val", data_root=root)) == 1
    train.check_labels()


def test_a_pattern_names_the_same_shards_as_their_folder(root):
    folder = build_dataset("webdataset", split="train", data_root=root)
    pattern = f"{root}/{{train-{{000..002}},val-000}}.tar"
    named = build_dataset("webdataset", split="train", data_root=pattern)
    assert named.fingerprint() == folder.fingerprint()
    less = build_dataset("webdataset", split="train", data_root=f"{root}/train-{{000..001}}.tar")
    assert less.fingerprint() != folder.fingerprint()
    assert less.notes[1].startswith(
        "no val split: 1 of 2 training shards become val (val_share 0.2"
    )
    other = build_dataset("webdataset", split="val", data_root=f"{root}/train-{{000..001}}.tar")
    names = [{sample.name for sample in each} for each in (less, other)]
    assert [len(each) for each in names] == [NUM_IN_SHARD] * 2
    assert not names[0] & names[1]


def test_batches_have_a_seeded_order_and_go_on_where_they_stopped(root):
    train = build_dataset(
        "webdataset",
        split="train",
        data_root=root,
    )
    options = {
        "augmentation": Augmentation(crop_size=(8, 8), scale_range=(1, 1)),
        "batch_size": 5,
    }

    def first(count, **more):
        batches = training_batches(train, **options, **{"seed": 1, **more})
        return [next(batches)[0] for _ in range(count)]

    whole = first(5)
    assert all(map(torch.equal, whole[3:], first(2, start_step=3)))
    assert all(map(torch.equal, whole[:3], first(3, num_workers=2)))
    assert not torch.equal(whole[0], first(1, seed=2)[0])


def test_memory_keeps_what_was_decoded(root, monkeypatch):
    train = build_dataset("webdataset", split="train", data_root=root)
    before = train[2]
    monkeypatch.setattr(module, "unpacked", None)
    assert torch.equal(train[2].image, before.image)


@pytest.mark.parametrize(
    "files, message",
    [
        (
            {"png": b"", "jpg.png": b""},
            r": the sample s has jpg\.png, png; one image and one mask are",
        ),
        ({"txt": b""}, r": the sample s has txt; one image and one mask are needed, such"),
        ({"png": b"no", "seg.png": b""}, r"/s.png is not an image that can be read: PNG, JPEG"),
        (
            {**files_of(0), "seg.png": encoded(mask(0, 9, 3, size=SIZE), "png")},
            r"/s.seg.png: the value 3 at row 7, column 0 is no class; known are 0, 9",
        ),
        (
            {**files_of(0), "seg.png": encoded(mask(0, 9, size=(4, 5)), "png")},
            r"/s.png is 10 x 14 \(height x width\), but its mask s.seg.png is 4 x 5",
        ),
    ],
)
def test_a_sample_that_does_not_fit_is_named(tmp_path, files, message):
    (tmp_path / "dataset.toml").write_text(CLASSES)
    write_shard(tmp_path / "0.tar", {"s": files})
    write_shard(tmp_path / "1.tar", {"s": files})
    with pytest.raises(FileError, match=rf"^{tmp_path}/[01]\.tar{message}"):
        build_dataset("webdataset", split="train", data_root=tmp_path)[0]


def test_damaged_shards_are_named(tmp_path, root):
    (tmp_path / "dataset.toml").write_text(CLASSES)
    content = (root / "train-000.tar").read_bytes()
    (tmp_path / "1.tar").write_bytes(content)
    path = tmp_path / "0.tar"
    for damaged, message in (
        (b"", "0.tar is not a tar archive: empty file; shards are plain .tar files"),
        (b"\x1f\x8b" + content, "0.tar is not a tar archive: .*not compressed"),
        (content[:1000], "0.tar is not a tar archive: .* and not cut"),
        (content[:3000], "0.tar is not a tar archive: .* and not cut"),
        (bytes(2**14), "0.tar holds no sample"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(FileError, match=message):
            for split in ("train", "val"):
                build_dataset("webdataset", split=split, data_root=tmp_path)
    with tarfile.open(path, "w") as archive:
        for _ in range(2):
            archive.add(tmp_path / "dataset.toml", "s.png")
    with pytest.raises(FileError, match=r"0\.tar holds s\.png twice\."):
        for split in ("train", "val"):
            build_dataset("webdataset", split=split, data_root=tmp_path)


@pytest.mark.parametrize(
    "name, message",
    [
        ("train-{000..004}.tar", r"2 of 5 shard\(s\) are missing, the first is .*train-003\.tar\."),
        ("train-000.tar", r"is the only shard; at least 2 are needed"),
        ("val-000.tar", r"all 1 shard\(s\) are val; none is left to train on"),
        ("{train-000,val-000}.tar", r"has no test split, only train, val; shards of it have test"),
    ],
)
def test_shards_that_will_not_do_are_refused(root, name, message):
    with pytest.raises(UsageError, match=message):
        build_dataset("webdataset", split="test", data_root=root / name)


def test_what_is_missing_is_said(tmp_path, root, monkeypatch):
    with pytest.raises(UsageError, match=r"holds no shard, \*\.tar"):
        build_dataset("webdataset", split="train", data_root=tmp_path)
    with pytest.raises(UsageError, match=r"https:.*copy them to a disk"):
        build_dataset("webdataset", split="train", data_root="https://host/a.tar")
    (tmp_path / "0.tar").touch()
    with pytest.raises(UsageError, match=r"nothing names the classes; write them into .*\.toml, e"):
        build_dataset("webdataset", split="train", data_root=tmp_path)
    (tmp_path / "dataset.toml").write_text('group_by = "(a)"\n' + CLASSES)
    with pytest.raises(FileError, match=r"dataset.toml: group_by has no meaning for shards"):
        build_dataset("webdataset", split="train", data_root=tmp_path)
    with pytest.raises(UsageError, match=r"--cache and --cache-gib: the dataset webdataset keeps"):
        build_split(DataConfig(dataset="webdataset", data_root=root, cache=tmp_path), "train")
    monkeypatch.setattr("autoseg.data.shards.archive.find_spec", lambda name: None)
    with pytest.raises(
        UsageError, match=r"is not installed: pip install 'autoseg-nas\[webdataset\]"
    ):
        build_dataset("webdataset", split="train", data_root=root)
