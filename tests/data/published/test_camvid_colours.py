"""CamVid in 32 colours: SegNet's classes, and SegNet's splits by the frames' numbers."""

import os
from pathlib import Path

import numpy as np
import pytest

from autoseg.data import CamVid, build_dataset
from autoseg.data.lists import read_list
from autoseg.data.published.camvid_colours import camvid_colours, camvid_labels
from autoseg.errors import FileError, UsageError
from tests.data.folder.drawing import save
from tests.data.published.archives import SIZE, blocks, camvid, photograph

REAL = os.environ.get("AUTOSEG_DATA")


@pytest.fixture
def root(tmp_path):
    return camvid(tmp_path)


def test_colours_are_merged_into_segnets_classes(root):
    train = build_dataset("camvid", split="train", data_root=root)
    # sky; archway is building; markings are road; parking blocks are pavement; void is none.
    expected = np.array([0, 1, 3, 4, 11])[blocks(0, range(5))]
    np.testing.assert_array_equal(train[0].target.numpy(), expected)
    assert train.class_names[3] == "road"
    assert train.ignore_index == 11
    assert len(camvid_labels().table) == 32
    assert {number for _, number in camvid_labels().table} == {-1, *range(11)}


def test_splits_are_runs_of_frames(root):
    splits = {
        split: [sample.name for sample in build_dataset("camvid", split=split, data_root=root)]
        for split in ("train", "val", "test")
    }
    assert splits["val"] == ["0016E5_07959", "0016E5_08159"]
    assert splits["test"] == ["0001TP_008550", "Seq05VD_f00000"]
    assert len(splits["train"]) == 5


@pytest.mark.skipif(REAL is None, reason="AUTOSEG_DATA names no CamVid folder")
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_splits_are_those_of_segnets_lists(split, tmp_path):
    for each in ("train", "val", "test"):
        for image, _ in read_list(Path(str(REAL)) / f"{each}.txt"):
            (tmp_path / f"{image.stem}_L.png").touch()
    expected = sorted(image.stem for image, _ in read_list(Path(str(REAL)) / f"{split}.txt"))
    with pytest.raises(FileError, match=f"{2 * len(expected):,} images and") as caught:
        (tmp_path / "701_StillsRaw_full").mkdir()
        camvid_colours(split=split, root=tmp_path, labels=tmp_path)
    assert f"{expected[0]}.png does not exist" in str(caught.value)


def test_lists_of_segnets_version_come_first(root):
    (root / "train.txt").write_text("a.png b.png\n")
    photograph(root / "a.png", 0)
    save(root / "b.png", np.zeros(SIZE, np.uint8))
    assert isinstance(build_dataset("camvid", split="train", data_root=root), CamVid)


def test_an_unknown_colour_is_named_with_its_place(root):
    path = root / "LabeledApproved_full/0001TP_008520_L.png"
    label = np.full((*SIZE, 3), 128, np.uint8)
    label[3, 5] = (1, 2, 3)
    save(path, label)
    train = build_dataset("camvid", split="train", data_root=root)
    message = rf"{path}: the colour \(1, 2, 3\) at row 3, column 5 is no class; .*label_colors.txt"
    with pytest.raises(FileError, match=message):
        train.check_labels()


def test_frames_of_unknown_films_are_named(root):
    save(root / "LabeledApproved_full/0002XX_000001_L.png", np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(FileError, match=r"0002XX_000001_L.png is of none of CamVid's films"):
        build_dataset("camvid", split="train", data_root=root)


def test_both_versions_are_named_where_neither_is(tmp_path):
    (tmp_path / "x").touch()
    with pytest.raises(
        UsageError, match=r"no list val.txt .*nor LabeledApproved_full/ with labels"
    ):
        build_dataset("camvid", split="val", data_root=tmp_path)
