"""A folder of a person's images and masks becomes a dataset, or is told what is wrong with it."""

import shutil

import numpy as np
import pytest
import torch

from autoseg.data import FolderImages, build_dataset
from autoseg.errors import FileError, UsageError
from tests.data.folder.drawing import SIZE, binary_folder, colour, grey, mask, save


def splits_of(root, **options):
    return {name: FolderImages(split=name, data_root=root, **options) for name in ("train", "val")}


def test_a_plain_folder_needs_nothing_else(tmp_path):
    splits = splits_of(binary_folder(tmp_path))
    train = splits["train"]
    assert train.class_names == ("background", "foreground")
    assert (train.num_channels, train.largest_size, train.ignore_index) == (1, SIZE, 255)
    samples = {sample.name: sample for split in splits.values() for sample in split}
    assert sorted(samples) == [f"cell_{number}" for number in range(5)]
    for number in range(5):
        sample = samples[f"cell_{number}"]
        np.testing.assert_array_equal(sample.image.numpy(), grey(number)[None])
        np.testing.assert_array_equal(sample.target.numpy(), mask(0, 1))
        assert sample.target.dtype == torch.int64
    assert (len(train), len(splits["val"])) == (4, 1)
    assert train.notes == (
        "images/ and masks/: 4 train, 1 val; images are grey",
        "no val split: 1 of 5 training images become val (val_share 0.2, split_seed 0)",
        "2 classes from the numbers in the masks: 0, 255",
    )
    train.check_labels()
    built = build_dataset("folder", split="val", data_root=tmp_path)
    assert built.fingerprint() == splits["val"].fingerprint() != train.fingerprint()


def test_a_split_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"has no test split, only train, val; add one"):
        FolderImages(split="test", data_root=binary_folder(tmp_path))


def test_val_is_the_same_wherever_the_folder_lies_and_grows_by_what_is_added(tmp_path):
    def val(root):
        return {sample.name for sample in FolderImages(split="val", data_root=root)}

    before = val(binary_folder(tmp_path / "a", 20))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert val(tmp_path / "b") == before
    save(tmp_path / "b/images/new.png", grey(99))
    save(tmp_path / "b/masks/new.png", mask(0, 255))
    assert len(before - val(tmp_path / "b")) <= 1
    (tmp_path / "a/dataset.toml").write_text("val_share = 0.5\nsplit_seed = 3\n")
    assert len(val(tmp_path / "a")) == 10


def test_equal_images_are_never_on_two_sides(tmp_path):
    for number in range(6):
        save(tmp_path / f"images/{number}.png", grey(number // 2))
        save(tmp_path / f"masks/{number}.png", mask(0, 1))
    splits = splits_of(tmp_path)
    sides = {
        name: {sample.image.numpy().tobytes() for sample in split} for name, split in splits.items()
    }
    assert not sides["train"] & sides["val"]
    assert (len(splits["train"]), len(splits["val"])) == (4, 2)


def test_what_val_has_is_left_out_of_train(tmp_path):
    for split, numbers in {"train": (0, 1, 2), "val": (2,), "test": (1,)}.items():
        for number in numbers:
            save(tmp_path / f"images/{split}/{number}.png", grey(number))
            save(tmp_path / f"masks/{split}/{number}.png", mask(0, 1))
    train = FolderImages(split="train", data_root=tmp_path)
    assert [sample.name for sample in train] == ["0"]
    note = "2 image(s) of train are in test, val too, and left out of train: 1.png, 2.png"
    assert note in train.notes


def test_groups_are_never_on_two_sides(tmp_path):
    for patient in range(4):
        for view in range(3):
            save(tmp_path / f"images/p{patient}_{view}.png", grey(10 * patient + view))
            save(tmp_path / f"masks/p{patient}_{view}.png", mask(0, 1))
    (tmp_path / "dataset.toml").write_text('group_by = "^(p[0-9]+)_"\n')
    sides = {
        name: {sample.name[:2] for sample in split} for name, split in splits_of(tmp_path).items()
    }
    assert len(sides["val"]) == 1
    assert not sides["train"] & sides["val"]
    (tmp_path / "dataset.toml").write_text('group_by = "^(q[0-9]+)_"\n')
    with pytest.raises(UsageError, match=r"group_by '\^\(q\[0-9\]\+\)_' finds nothing in the name"):
        splits_of(tmp_path)


def test_one_image_cannot_be_divided(tmp_path):
    with pytest.raises(UsageError, match=r"has 1 image\(s\) in 1 group\(s\) of their own"):
        splits_of(binary_folder(tmp_path, 1))


def test_sizes_that_differ_are_named_at_once(tmp_path):
    binary_folder(tmp_path)
    save(tmp_path / "masks/cell_3.png", mask(0, 255, size=(10, 12)))
    message = r"cell_3.png is 10 x 14 \(height x width\), but its mask .*cell_3.png is 10 x 12"
    with pytest.raises(FileError, match=message):
        splits_of(tmp_path)


def test_one_colour_image_makes_all_rgb(tmp_path):
    binary_folder(tmp_path, 4)
    save(tmp_path / "images/cell_0.png", colour(0))
    splits = splits_of(tmp_path)
    assert splits["train"].num_channels == 3
    samples = {sample.name: sample.image for split in splits.values() for sample in split}
    np.testing.assert_array_equal(samples["cell_0"].numpy(), colour(0).transpose(2, 0, 1))
    np.testing.assert_array_equal(samples["cell_1"].numpy(), np.stack([grey(1)] * 3))


@pytest.mark.parametrize("is_last", [True, False])
def test_arrays_hold_up_to_16_channels(tmp_path, is_last):
    for number in range(3):
        pixels = grey(number, (6, *SIZE)).astype(np.uint16) * 257
        save(tmp_path / f"images/{number}.npy", np.moveaxis(pixels, 0, -1) if is_last else pixels)
        save(tmp_path / f"labels/{number}.tif", mask(0, 1, 2))
    train = FolderImages(split="train", data_root=tmp_path)
    assert (train.num_channels, train.num_classes) == (6, 3)
    number = int(train[0].name)
    np.testing.assert_array_equal(train[0].image.numpy(), grey(number, (6, *SIZE)))
    assert len(set(train.normalisation.mean)) == 1
    save(tmp_path / "images/0.npy", np.zeros((*SIZE, 5), np.uint8))
    with pytest.raises(FileError, match=r"has 5 channel\(s\) and .*npy 6; all images must have as"):
        splits_of(tmp_path)


def test_a_thousand_classes_keep_their_colours_apart(tmp_path):
    for number in range(2):
        save(tmp_path / f"images/{number}.png", grey(number, (40, 50)))
        labels = np.arange(2000).reshape(40, 50) // 2
        save(tmp_path / f"masks/{number}.png", labels.astype(np.uint16))
    train = FolderImages(split="train", data_root=tmp_path)
    assert train.num_classes == 1000
    assert len(np.unique(train.palette, axis=0)) == 1000
    np.testing.assert_array_equal(train[0].target.numpy(), labels)
    assert train.ignore_index == 65_535


def test_another_description_or_file_is_another_dataset(tmp_path):
    train = FolderImages(split="train", data_root=binary_folder(tmp_path))
    before = train.fingerprint()
    description = tmp_path / "mine.toml"
    description.write_text(
        '[[classes]]\nname = "glass"\nvalue = 0\n[[classes]]\nname = "cell"\nvalue = 255\n'
    )
    named = FolderImages(split="train", data_root=tmp_path, description=description)
    assert named.class_names == ("glass", "cell")
    assert named.fingerprint() != before
    with (tmp_path / "masks" / f"{train[0].name}.png").open("ab") as file:
        file.write(b"\0")
    assert FolderImages(split="train", data_root=tmp_path).fingerprint() != before
