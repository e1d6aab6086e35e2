"""PASCAL VOC 2012, its border, and the larger train set with SBD's labels."""

import sys

import numpy as np
import pytest
from PIL import Image

from autoseg.data import build_dataset
from autoseg.data.published.voc import read_sbd
from autoseg.errors import FileError, UsageError
from tests.data.folder.drawing import mask, save
from tests.data.published.archives import SIZE, blocks, voc, write_sbd
from tests.fuzzing import damaged_bytes, require_clean_refusals

NAMES = [f"2007_{number:06}" for number in range(6)]


@pytest.fixture
def root(tmp_path):
    return voc(tmp_path / "data")


def devkit(root):
    return root / "VOCdevkit/VOC2012"


def test_labels_are_the_palettes_numbers_and_the_border_has_none(root):
    for folder in (root, root / "VOCdevkit", devkit(root)):
        train = build_dataset("voc", split="train", data_root=folder)
        assert [sample.name for sample in train] == NAMES[:4]
    assert train.class_names[15] == "person"
    assert train.palette[15].tolist() == [192, 128, 128]  # VOC's own colour of a person
    assert train.ignore_index == 255
    expected = np.asarray(Image.open(devkit(root) / "SegmentationClass/2007_000000.png"))
    assert (expected == 255).sum() == 2 * SIZE[1]
    np.testing.assert_array_equal(train[0].target.numpy(), expected)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.zeros((*SIZE, 3), np.uint8) + np.arange(3, dtype=np.uint8), "holds colours"),
        (mask(0, 21, size=SIZE), "the value 21 at row 16, column 0 is no class; known are 0, 1, 2"),
        (np.zeros((8, 8), np.uint8), r"is 32 x 40 .*, but its label .* is 8 x 8; they must"),
    ],
)
def test_labels_that_were_changed_are_refused(root, label, message):
    save(devkit(root) / f"SegmentationClass/{NAMES[1]}.png", label)
    with pytest.raises(FileError, match=message):
        build_dataset("voc", split="train", data_root=root).check_labels()


def augment(root, kind):
    """Label a val image, a train image and another one; give the other one's label."""
    other = blocks(9, range(21))
    for name, label in ((NAMES[5], mask(3)), (NAMES[0], mask(3)), ("2008_000001", other)):
        if kind == "mat":
            write_sbd(root / f"benchmark_RELEASE/dataset/cls/{name}.mat", label)
        else:
            save(devkit(root) / f"SegmentationClassAug/{name}.png", label)
    return other


@pytest.mark.parametrize("kind", ["mat", "png"])
def test_the_larger_train_set_keeps_vocs_labels_and_vocs_val_apart(root, kind):
    expected = augment(root, kind)
    alone = build_dataset("voc", split="train", data_root=root)
    assert "SBD's labels lie there too; --dataset voc-aug trains on them as well" in alone.notes
    train = build_dataset("voc-aug", split="train", data_root=root)
    assert [sample.name for sample in train] == [*NAMES[:4], "2008_000001"]
    np.testing.assert_array_equal(train[4].target.numpy(), expected)
    np.testing.assert_array_equal(train[0].target.numpy(), alone[0].target.numpy())
    assert train.notes[0].startswith("4 images have VOC's labels and 1 those of SBD, from ")
    assert train.notes[1].startswith("voc-aug: train has 5 images here and 10,582 as published")
    assert len(build_dataset("voc-aug", split="val", data_root=root)) == 2


def test_the_published_count_is_not_remarked_upon(root, monkeypatch):
    augment(root, "png")
    monkeypatch.setattr("autoseg.data.published.voc._NUM_AUGMENTED", 5)
    assert len(build_dataset("voc-aug", split="train", data_root=root).notes) == 1


def test_without_sbd_its_labels_are_asked_for(root):
    with pytest.raises(UsageError, match=r"no labels of SBD .*home.bharathh.info.*--dataset voc\."):
        build_dataset("voc-aug", split="train", data_root=root)


def test_without_scipy_the_extra_is_named(root, monkeypatch):
    augment(root, "mat")
    train = build_dataset("voc-aug", split="train", data_root=root)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(UsageError, match=r"pip install 'autoseg-nas\[sbd\]'. The PNGs of Segm"):
        train[4]


def test_a_file_that_is_none_of_sbds_is_named(root):
    augment(root, "mat")
    train = build_dataset("voc-aug", split="train", data_root=root)
    path = root / "benchmark_RELEASE/dataset/cls/2008_000001.mat"
    write_sbd(path, mask(21))
    with pytest.raises(FileError, match=r"2008_000001.mat: the value 21 at row 0, column 0 is no"):
        train[4]
    for content in (b"", b"MATLAB 5.0 MAT-file", path.read_bytes()[:200]):
        path.write_bytes(content)
        with pytest.raises(FileError, match=r"2008_000001.mat is not labels of SBD"):
            train[4]


@pytest.mark.fuzz
def test_damaged_mat_files_are_refused_by_name(memory_folder):
    path = memory_folder / "2008_000001.mat"
    write_sbd(path, blocks(1, range(21)))
    require_clean_refusals(read_sbd, path, damaged_bytes(path.read_bytes()))


def test_lists_are_checked(root):
    path = devkit(root) / "ImageSets/Segmentation/train.txt"
    path.write_text("../../x\n")
    with pytest.raises(FileError, match=r"train.txt holds '../../x'; expected a name on each line"):
        build_dataset("voc", split="train", data_root=root)
    path.write_text("\n")
    with pytest.raises(FileError, match=r"train.txt is empty"):
        build_dataset("voc", split="train", data_root=root)
