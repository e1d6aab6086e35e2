"""COCO's panoptic PNGs: segments, crowds, void, and the classes of VOC."""

import json
import re
import shutil

import numpy as np
import pytest

from autoseg.data import build_dataset
from autoseg.errors import FileError, UsageError
from tests.data.folder.drawing import mask, save
from tests.data.published.archives import SIZE, coco, write
from tests.fuzzing import as_json, damaged_json, require_clean_refusals


@pytest.fixture
def root(tmp_path):
    return coco(tmp_path)


def change_listing(root, change):
    """Write the train split's JSON file anew."""
    path = root / "annotations/panoptic_train2017.json"
    content = json.loads(path.read_text())
    change(content)
    write(path, json.dumps(content))


def test_segments_get_their_categories_place_in_the_json(root):
    train = build_dataset("coco", split="train", data_root=root)
    names = train.class_names
    assert names[-3:] == ("kite", "sky-other-merged", "wall-other-merged")
    sky, person, tv, kite = (
        names.index(name) for name in ("sky-other-merged", "person", "tv", "kite")
    )
    expected = mask(sky, person, 255, kite, size=SIZE)  # the crowd has no class
    expected[:, -4:] = 255  # nor have pixels without a segment
    np.testing.assert_array_equal(train[0].target.numpy(), expected)
    expected[16:24, :-4] = tv
    np.testing.assert_array_equal(train[1].target.numpy(), expected)


def test_vocs_classes_are_kept_and_all_others_are_background(root):
    train = build_dataset("coco-voc", split="train", data_root=root)
    assert train.class_names[15] == "person"
    expected = mask(0, 15, 255, 0, size=SIZE)
    expected[:, -4:] = 255
    np.testing.assert_array_equal(train[0].target.numpy(), expected)
    # The second image has 900 + 288 pixels of VOC's classes; kites do not count.
    assert len(train) == 4
    assert train.notes == ("4 of 4 images have more than 1,000 pixels of VOC's classes",)


def test_images_without_much_of_vocs_classes_are_left_out_of_train(root):
    def shrink(content):
        for segment in content["annotations"][1]["segments_info"]:
            segment["area"] = 500  # of a person and a tv: not more than 1,000 pixels

    change_listing(root, shrink)
    train = build_dataset("coco-voc", split="train", data_root=root)
    assert [sample.name for sample in train] == [f"{number:012}" for number in (1, 3, 4)]
    assert len(build_dataset("coco", split="train", data_root=root)) == 4


def test_a_segment_that_the_json_does_not_list_is_named_with_its_place(root):
    def forget(content):
        del content["annotations"][1]["segments_info"][1]  # id 300 = 44 + 256

    change_listing(root, forget)
    message = r"000000000002.png: the colour \(44, 1, 0\) at row 8, column 0 is segment 300, which"
    with pytest.raises(FileError, match=message):
        build_dataset("coco", split="train", data_root=root)[1]


def test_a_png_of_class_numbers_is_no_panoptic_one(root):
    save(root / "annotations/panoptic_train2017/000000000001.png", mask(1, size=SIZE))
    with pytest.raises(FileError, match=r"0001.png holds numbers in one channel; COCO's panoptic"):
        build_dataset("coco", split="train", data_root=root).check_labels()


def test_the_archive_in_the_archive_is_to_be_unpacked_too(root):
    shutil.rmtree(root / "annotations/panoptic_train2017")
    (root / "annotations/panoptic_train2017.zip").touch()
    with pytest.raises(UsageError, match=r"has no folder .*2017.zip lies there: unpack it too"):
        build_dataset("coco", split="train", data_root=root)


@pytest.mark.fuzz
def test_a_damaged_listing_is_refused_or_gives_classes(root):
    path = root / "annotations/panoptic_train2017.json"
    content = json.loads(path.read_text())

    def read(_):
        try:
            (first, *_) = build_dataset("coco", split="train", data_root=root)
        except FileError as error:
            # A picture that is not as the listing says, or not there, is named itself.
            if not re.search(r"/(panoptic_)?train2017[/ ]", str(error)):
                raise
        else:
            assert first.target.max() <= 255

    require_clean_refusals(read, path, damaged_json(content).map(as_json))


def break_categories(content):
    content["annotations"][0]["segments_info"][0]["category_id"] = 500


def break_name(content):
    content["annotations"][0]["file_name"] = "../1.png"


def break_image(content):
    content["annotations"][0]["image_id"] = 77


def break_size(content):
    content["images"][0]["height"] = 0


def repeat_png(content):
    content["annotations"][1]["file_name"] = content["annotations"][0]["file_name"]


def repeat_segment(content):
    segments = content["annotations"][0]["segments_info"]
    segments[1]["id"] = segments[0]["id"]


def break_id(content):
    content["annotations"][0]["segments_info"][0]["id"] = "7"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (break_categories, "has a segment of category 500"),
        (break_name, r"'../1.png' is no file's name"),
        (break_image, "'000000000001.png', of an image that it does not list"),
        (break_size, "000000000001.jpg is 0 x 40 pixels"),
        (repeat_png, "it lists a PNG twice"),
        (repeat_segment, "000000000001.png has a segment twice"),
        (break_id, "has a segment with the id '7'"),
        (lambda content: content.pop("categories"), "'categories'"),
    ],
)
def test_a_damaged_listing_is_named(root, change, message):
    change_listing(root, change)
    with pytest.raises(FileError, match=f"panoptic_train2017.json is not COCO's .*{message}"):
        build_dataset("coco", split="train", data_root=root)


def test_a_listing_without_vocs_classes_is_no_cocos(root):
    def rename(content):
        for each in content["categories"]:
            each["name"] = each["name"].replace("couch", "settee")

    change_listing(root, rename)
    with pytest.raises(FileError, match="has no category for VOC's sofa; unpack it again"):
        build_dataset("coco-voc", split="train", data_root=root)
