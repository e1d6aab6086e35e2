"""Cityscapes: the official table, license plates, coarse labels, and files of another kind."""

import numpy as np
import pytest

from autoseg.data import build_dataset
from autoseg.errors import FileError, UsageError
from tests.data.folder.drawing import mask, save
from tests.data.published.archives import SIZE, cityscapes

# Label id, and train id unless it is not evaluated, of cityscapesScripts' helpers/labels.py.
TABLE = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10}
TABLE |= {24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
NAME = "ulm_000002_000019"


@pytest.fixture
def root(tmp_path):
    return cityscapes(tmp_path)


def label_path(root, kind="labelIds", labels="gtFine", split="train", name=NAME):
    return root / f"{labels}/{split}/ulm/{name}_{labels}_{kind}.png"


def target(root, **options):
    return build_dataset("cityscapes", split="train", data_root=root, **options)[1].target.numpy()


def test_label_ids_become_train_ids_and_others_have_none(root):
    ids = np.resize(np.arange(34, dtype=np.uint8), SIZE[1])  # all of them, from left to right
    save(label_path(root), np.tile(ids, (SIZE[0], 1)))
    expected = [TABLE.get(number, 255) for number in ids.tolist()]
    np.testing.assert_array_equal(target(root), np.tile(expected, (SIZE[0], 1)))


def test_license_plates_have_no_class(root):
    # The table's -1, written in 8 bits; as an index it would be the last class, bicycle.
    save(label_path(root), mask(26, 255, size=SIZE))
    np.testing.assert_array_equal(target(root), mask(13, 255, size=SIZE))


def test_train_ids_are_taken_by_their_name(root):
    label_path(root).unlink()
    save(label_path(root, "labelTrainIds"), mask(0, 18, 255, size=SIZE))
    np.testing.assert_array_equal(target(root), mask(0, 18, 255, size=SIZE))


def test_coarse_labels_are_a_split_and_a_train_set(root):
    cityscapes(root, labels="gtCoarse", splits=("train_extra",))
    extra = build_dataset("cityscapes", split="train_extra", data_root=root)
    train = build_dataset("cityscapes-coarse", split="train", data_root=root)
    val = build_dataset("cityscapes-coarse", split="val", data_root=root)
    assert len(extra) == len(train) == 2
    assert (extra.split, train.split, val.split) == ("train_extra", "train", "val")
    np.testing.assert_array_equal(train[0].target.numpy(), extra[0].target.numpy())
    assert "19,998 as published" in train.notes[0]


@pytest.mark.parametrize(
    ("kind", "label", "message"),
    [
        ("labelIds", np.arange(4, dtype=np.uint8) + np.zeros((*SIZE, 4), np.uint8), "transparent"),
        ("labelIds", np.full((*SIZE, 3), (0, 0, 142), np.uint8), "holds colours, as the files _co"),
        (
            "labelIds",
            mask(26_001, 7, size=SIZE, dtype=np.uint16),
            r"instance ids \(26001\), as the",
        ),
        ("labelIds", mask(0, 18, 255, size=SIZE), r"these are train ids, not label ids; give it"),
        ("labelIds", mask(34, size=SIZE), "the value 34 at row 0, column 0 is no class"),
        ("labelTrainIds", mask(0, 26, size=SIZE), "holds 26, which is a label id and no train id"),
    ],
)
def test_a_file_of_another_kind_is_named(root, kind, label, message):
    label_path(root).unlink()
    path = save(label_path(root, kind), label)
    with pytest.raises(FileError, match=f"^{path} .*{message}|^{path}: .*{message}"):
        build_dataset("cityscapes", split="train", data_root=root).check_labels()


def test_other_files_in_place_of_labels_are_named(root):
    for path in root.glob("gtFine/train/ulm/*_labelIds.png"):
        path.unlink()
    with pytest.raises(
        UsageError, match=r"files of the kind _color, _instanceIds, _polygons lie there. Classes"
    ):
        build_dataset("cityscapes", split="train", data_root=root)
