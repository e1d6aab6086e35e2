"""ADE20K: 0 has no class and the others move down; names come from the archive."""

import numpy as np
import pytest

from autoseg.data import build_dataset
from autoseg.errors import FileError, UsageError
from tests.data.folder.drawing import mask, save
from tests.data.published.archives import SIZE, ade20k, blocks

LABEL = "ADEChallengeData2016/annotations/training/ADE_train_00000002.png"


@pytest.fixture
def root(tmp_path):
    return ade20k(tmp_path)


def test_labels_move_down_by_one_and_0_has_no_class(root):
    train = build_dataset("ade20k", split="train", data_root=root / "ADEChallengeData2016")
    stored = blocks(2, range(151)).astype(np.int64)
    np.testing.assert_array_equal(train[1].target.numpy(), np.where(stored, stored - 1, 255))
    save(root / LABEL, mask(0, 1, 150, 2, size=SIZE))
    again = build_dataset("ade20k", split="train", data_root=root)
    np.testing.assert_array_equal(again[1].target.numpy(), mask(255, 0, 149, 1, size=SIZE))


def test_names_are_the_first_words_unless_two_classes_share_them(root):
    names = build_dataset("ade20k", split="val", data_root=root).class_names
    assert len(names) == 150
    assert names[0] == "wall"
    assert names[1] == "thing 2"
    assert names[8:10] == ("door, double door", "door, hatch")


def test_what_is_no_label_of_the_challenge_is_refused(root):
    save(root / LABEL, mask(151, size=SIZE))
    with pytest.raises(
        FileError, match=r"the value 151 at row 0, column 0 is no class; .* of 0 to"
    ):
        build_dataset("ade20k", split="train", data_root=root).check_labels()


def test_another_list_of_classes_is_refused(root):
    path = root / "ADEChallengeData2016/objectInfo150.txt"
    path.write_text(path.read_text().replace("\n3\t", "\n4\t"))
    with pytest.raises(FileError, match=r"objectInfo150.txt does not list the classes 1 to 150"):
        build_dataset("ade20k", split="train", data_root=root)


def test_the_full_ade20k_is_told_from_the_challenges(tmp_path):
    (tmp_path / "index_ade20k.pkl").touch()
    with pytest.raises(UsageError, match=r"is the full ADE20K, .*ADEChallengeData2016.zip of scen"):
        build_dataset("ade20k", split="train", data_root=tmp_path)
