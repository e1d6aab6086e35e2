"""A fingerprint tells images apart, wherever they lie, without reading any."""

import shutil

import numpy as np
import pytest
from PIL import Image

from autoseg.data import CamVid, Subset, SyntheticStreets


def write_camvid(root, names=("a", "b"), size=(8, 6)):
    (root / "images").mkdir(parents=True)
    for name in names:
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(root / f"images/{name}.png")
        Image.fromarray(np.zeros(size, np.uint8)).save(root / f"images/{name}_label.png")
    lines = [f"images/{name}.png images/{name}_label.png" for name in names]
    (root / "train.txt").write_text("\n".join(lines) + "\n")
    return CamVid(split="train", data_root=root).fingerprint()


def test_the_place_of_a_folder_does_not_count(tmp_path, monkeypatch):
    first = write_camvid(tmp_path / "first")
    assert first.startswith("2 images, SHA-256 ")
    shutil.move(tmp_path / "first", tmp_path / "second")
    monkeypatch.chdir(tmp_path)
    assert CamVid(split="train", data_root="second").fingerprint() == first


def test_names_sizes_order_and_number_count(tmp_path):
    prints = {
        write_camvid(tmp_path / "1"),
        write_camvid(tmp_path / "2", names=("b", "a")),
        write_camvid(tmp_path / "3", names=("a", "c")),
        write_camvid(tmp_path / "4", names=("a", "b", "c")),
    }
    assert len(prints) == 4
    with (tmp_path / "1/images/a.png").open("ab") as file:
        file.write(b"\0")
    assert CamVid(split="train", data_root=tmp_path / "1").fingerprint() not in prints


@pytest.mark.parametrize(
    "change",
    [
        {"split": "val"},
        {"length": 4},
        {"image_size": (16, 24)},
        {"num_classes": 11},
        {"seed": 1},
    ],
)
def test_what_scenes_are_drawn_from_counts(change):
    settings = {"split": "train", "length": 3, "image_size": (16, 16)}
    plain = SyntheticStreets(**settings).fingerprint()
    assert plain == SyntheticStreets(**settings, cache_mib=0).fingerprint()
    assert SyntheticStreets(**settings | change).fingerprint() != plain


def test_a_subset_is_told_by_its_indices_and_its_whole():
    whole = SyntheticStreets(split="train", length=3)
    other = SyntheticStreets(split="train", length=3, seed=1)
    subsets = [Subset(whole, [0, 1]), Subset(whole, [1, 0]), Subset(whole, [0]), Subset(other, [0])]
    assert len({subset.fingerprint() for subset in subsets}) == 4
    assert Subset(whole, [0, 1]).fingerprint() == subsets[0].fingerprint()
