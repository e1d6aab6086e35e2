"""Layouts of folders, as people and programs leave them."""

import re

import pytest

from autoseg.data.folder.layout import find_layout
from autoseg.errors import FileError, UsageError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def pairs_of(root, **options):
    layout = find_layout(root, **options)
    return {
        split: [
            (pair.image.relative_to(root).as_posix(), pair.mask.relative_to(root).as_posix())
            for pair in pairs
        ]
        for split, pairs in layout.pairs.items()
    }


@pytest.mark.parametrize("masks", ["masks", "labels", "annotations", "gt", "Masks"])
def test_two_folders(tmp_path, masks):
    touch(tmp_path, "images/b.jpg", "images/a.png", f"{masks}/a.png", f"{masks}/b.png")
    assert pairs_of(tmp_path) == {
        "all": [("images/a.png", f"{masks}/a.png"), ("images/b.jpg", f"{masks}/b.png")]
    }


def test_splits_below_and_above(tmp_path):
    files = ("a/images/train/1.png", "a/masks/train/1.png", "a/images/val/2.png")
    touch(tmp_path, *files, "a/masks/val/2.png", "b/train/images/1.png", "b/train/masks/1.png")
    touch(tmp_path, "b/valid/images/2.png", "b/valid/masks/2.png", "b/readme.txt")
    assert pairs_of(tmp_path / "a") == {
        "train": [("images/train/1.png", "masks/train/1.png")],
        "val": [("images/val/2.png", "masks/val/2.png")],
    }
    assert pairs_of(tmp_path / "b") == {
        "train": [("train/images/1.png", "train/masks/1.png")],
        "val": [("valid/images/2.png", "valid/masks/2.png")],
    }


def test_lists_come_first(tmp_path):
    touch(tmp_path, "images/a.png", "masks/a.png", "my pictures/b.png", "c/b_mask.png")
    lines = '\ufeff"my pictures/b.png" c\\b_mask.png\r\n\r\nimages/a.png\tmasks/a.png\r\n'
    (tmp_path / "train.txt").write_bytes(lines.encode())
    assert pairs_of(tmp_path) == {
        "train": [("my pictures/b.png", "c/b_mask.png"), ("images/a.png", "masks/a.png")]
    }
    (tmp_path / "val.txt").write_text("images/a.png masks/z.png\n")
    message = r"z.png: the file is in val.txt, but does not exist; copy it there"
    with pytest.raises(FileError, match=message):
        find_layout(tmp_path)


def test_masks_beside_their_images(tmp_path):
    touch(tmp_path, "a.png", "a_mask.png", "b.png", "b_mask.png", "notes.txt")
    assert pairs_of(tmp_path) == {"all": [("a.png", "a_mask.png"), ("b.png", "b_mask.png")]}


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("a.jpg", "a_mask.png"),
        ("a.tif", "a-GT.tif"),
        ("a.ome.tif", "a.png"),
        ("a.ome.tif", "a.ome.tif"),
        ("a.png", "a_labelIds.png"),
        ("a_leftImg8bit.png", "a_gtFine_labelIds.png"),
        ("sub/a.png", "sub/a_seg.png"),
        ("scan_gt.png", "scan_gt.png"),
        ("a.npy", "a.npy"),
        ("A.JPG", "A.PNG"),
        ("caf\u00e9.jpg", "cafe\u0301_mask.png"),  # the accent composed, and not
    ],
)
def test_names_of_masks(tmp_path, image, mask):
    touch(tmp_path, f"images/{image}", f"masks/{mask}")
    assert pairs_of(tmp_path) == {"all": [(f"images/{image}", f"masks/{mask}")]}


def test_the_mask_of_exactly_the_images_name_comes_first(tmp_path):
    touch(tmp_path, "images/a.png", "masks/a.png", "masks/a_labelIds.png", "images/b.png")
    layout = find_layout(tmp_path)
    assert pairs_of(tmp_path) == {"all": [("images/a.png", "masks/a.png")]}
    assert layout.notes == (
        f"1 image(s) without a mask are left out: {tmp_path}/images/b.png",
        f"1 mask(s) without an image are left out: {tmp_path}/masks/a_labelIds.png",
    )


def test_hidden_files_are_passed_over(tmp_path):
    touch(tmp_path, "images/a.png", "masks/a.png", "images/._a.png", "masks/.x/a.png")
    assert pairs_of(tmp_path) == {"all": [("images/a.png", "masks/a.png")]}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "is empty; expected images/ and masks/"),
        (["photos/a.png"], "holds photos/; expected images/ and masks/ (or labels/"),
        (["set/images/a.png", "set/masks/a.png"], "Did you mean {root}/set?"),
        (["images/a.png", "masks/a.png", "labels/a.png"], "has several folders of masks: labels,"),
        (["images/a.png", "masks/b.png"], "none of the 1 image(s) in"),
        (["images/a.png", "masks/a.txt"], "{root}/masks holds no mask in a format that is read"),
        (["images/a.txt", "masks/a.png"], "{root}/images holds no image in a format that is read"),
        (["images/a.png", "images/a.jpg", "masks/a.png"], "have one name, so that nobody could"),
        (["images/a.png", "masks/a_mask.png", "masks/a_gt.png"], "a.png has 2 masks: "),
        (["images/val/a.png", "masks/val/a.png"], "has val, but no train/; add it"),
        (
            ["images/train/a.png", "masks/a.png"],
            "images has the splits train, and {root}/masks has none",
        ),
    ],
)
def test_what_is_no_layout_is_said(tmp_path, files, message):
    with pytest.raises(UsageError, match=re.escape(message.format(root=tmp_path))):
        find_layout(touch(tmp_path, *files))


def test_folders_are_named_where_there_are_several(tmp_path):
    touch(tmp_path, "images/a.png", "masks/a.png", "labels/a.png", "photos/b.png", "labels/b.png")
    assert pairs_of(tmp_path, masks="masks") == {"all": [("images/a.png", "masks/a.png")]}
    with pytest.raises(UsageError, match=r"dataset.toml names the folder 'scans', and .* has none"):
        find_layout(tmp_path, images="scans", masks="labels")
    assert pairs_of(tmp_path, images="photos", masks="labels") == {
        "all": [("photos/b.png", "labels/b.png")]
    }
