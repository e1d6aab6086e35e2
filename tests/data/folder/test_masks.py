"""Masks of every kind become the same classes, and what is no class is named with its place."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autoseg.data import FolderImages
from autoseg.data.folder import masks
from autoseg.data.labels import LabelFile, read_labels
from autoseg.errors import FileError, UsageError
from tests.data.folder.drawing import SIZE, grey, mask, save

RED, GREEN = (200, 10, 20), (10, 200, 20)


def coloured(*colours):
    return np.array(colours, dtype=np.uint8)[mask(*range(len(colours)))]


def folder_of(root, *masks, ending=".png", **options):
    for number, pixels in enumerate(masks):
        save(root / f"images/{number}.png", grey(number))
        save(root / f"masks/{number}{ending}", pixels, **options)
    return root


def all_of(root, **options):
    """Return the train split, and every target by its image's name."""
    splits = [FolderImages(split=split, data_root=root, **options) for split in ("train", "val")]
    return splits[0], {sample.name: sample.target.numpy() for s in splits for sample in s}


def describe(root, *classes, head=""):
    entries = [f"[[classes]]\n{entry}\n" for entry in classes]
    (root / "dataset.toml").write_text(head + "\n" + "\n".join(entries))


@pytest.mark.parametrize(
    ("values", "ignored"),
    [
        ((0, 1), ()),
        ((0, 255), ()),
        ((0, 128), ()),
        ((0, 1, 2), ()),
        ((0, 3, 15, 255), (255,)),
        ((0, 1, 255), (255,)),
        ((254, 255, 256, 300), ()),
    ],
)
def test_numbers_that_occur_are_the_classes(tmp_path, values, ignored):
    dtype = np.uint16 if max(values) > 255 else np.uint8
    pixels = mask(*values, dtype=dtype)
    train, targets = all_of(folder_of(tmp_path, pixels, pixels))
    classes = [value for value in values if value not in ignored]
    assert train.num_classes == len(classes)
    expected = np.full(SIZE, train.ignore_index)
    for number, value in enumerate(classes):
        expected[pixels == value] = number
    np.testing.assert_array_equal(targets["0"], expected)
    names = ("background", "foreground") if len(classes) == 2 else None
    assert train.class_names == (names or tuple(f"class {value}" for value in classes))


def test_one_bit_and_eight_bits_are_one(tmp_path):
    bits = mask(0, 255) > 0
    folder_of(tmp_path, bits, mask(0, 255), bits, mask(0, 255))
    assert read_labels(tmp_path / "masks/0.png").mode == "1"
    _, targets = all_of(tmp_path)
    for target in targets.values():
        np.testing.assert_array_equal(target, mask(0, 1))


@pytest.mark.parametrize("ending", [".tif", ".npy", ".bmp"])
def test_other_files_of_numbers(tmp_path, ending):
    _, targets = all_of(folder_of(tmp_path, mask(0, 1, 2), mask(0, 1, 2), ending=ending))
    np.testing.assert_array_equal(targets["1"], mask(0, 1, 2))


def test_a_palette_gives_the_colours(tmp_path):
    pixels = mask(0, 1, 2)
    folder_of(tmp_path, pixels, pixels, palette=[0, 0, 0, *RED, *GREEN])
    train, targets = all_of(tmp_path)
    assert train.palette.tolist() == [[0, 0, 0], [*RED], [*GREEN]]
    np.testing.assert_array_equal(targets["0"], pixels)


def test_described_colours_are_those_of_a_palette_whatever_its_order(tmp_path):
    folder_of(tmp_path, mask(0, 1), mask(0, 1), palette=[*RED, *GREEN])
    describe(
        tmp_path, f'name = "moss"\ncolour = {list(GREEN)}', f'name = "rust"\ncolour = {list(RED)}'
    )
    _, targets = all_of(tmp_path)
    np.testing.assert_array_equal(targets["0"], mask(1, 0))


def test_grey_that_was_saved_as_rgb_is_numbers(tmp_path):
    train, targets = all_of(folder_of(tmp_path, coloured((0,) * 3, (255,) * 3), mask(0, 255)))
    assert train.num_classes == 2
    np.testing.assert_array_equal(targets["0"], mask(0, 1))


def test_colours_are_classes_named_by_them(tmp_path):
    folder_of(tmp_path, coloured((0, 0, 0), RED, GREEN), coloured((0, 0, 0), (0, 0, 0)))
    train, targets = all_of(tmp_path)
    assert train.class_names == ("#000000", "#0ac814", "#c80a14")
    assert train.palette.tolist() == [[0, 0, 0], [*GREEN], [*RED]]
    np.testing.assert_array_equal(targets["0"], mask(0, 2, 1))
    np.testing.assert_array_equal(targets["1"], mask(0))


def test_a_description_names_colours_and_ignores_some(tmp_path):
    folder_of(tmp_path, coloured((0, 0, 0), RED, GREEN), coloured(RED, GREEN))
    describe(
        tmp_path,
        f'name = "rust"\ncolour = {list(RED)}',
        f'name = "moss"\ncolour = {list(GREEN)}',
        head="ignore_colour = [0, 0, 0]",
    )
    train, targets = all_of(tmp_path)
    assert train.class_names == ("rust", "moss")
    np.testing.assert_array_equal(targets["0"], mask(255, 0, 1))


def test_an_unknown_colour_is_named_with_file_and_place(tmp_path):
    folder_of(tmp_path, coloured(RED, GREEN), coloured(RED, GREEN), coloured(RED, GREEN))
    pixels = coloured(RED, GREEN)
    pixels[3, 7] = (12, 200, 3)
    save(tmp_path / "masks/1.png", pixels)
    describe(tmp_path, f'name = "a"\ncolour = {list(RED)}', f'name = "b"\ncolour = {list(GREEN)}')
    message = (
        "masks/1.png: the colour (12, 200, 3) at row 3, column 7 is no class; known are "
        "(10, 200, 20), (200, 10, 20). Add it to dataset.toml, as a class or as ignore_colour."
    )
    with pytest.raises(FileError, match=re.escape(message)):
        all_of(tmp_path)


def test_an_unknown_number_is_named_with_file_and_place(tmp_path):
    pixels = mask(0, 1)
    pixels[9, 2] = 7
    folder_of(tmp_path, mask(0, 1), pixels)
    describe(tmp_path, 'name = "a"\nvalue = 0', 'name = "b"\nvalue = 1')
    message = r"masks/1.png: the value 7 at row 9, column 2 is no class; known are 0, 1, 255\."
    with pytest.raises(FileError, match=message):
        for split in ("train", "val"):
            FolderImages(split=split, data_root=tmp_path).check_labels()


def test_numbers_are_merged_and_ignored_as_described(tmp_path):
    folder_of(tmp_path, mask(0, 7, 8, 9), mask(0, 7, 8, 9))
    describe(
        tmp_path, 'name = "a"\nvalue = 0', 'name = "b"\nvalue = [7, 8]', head="ignore_value = 9"
    )
    _, targets = all_of(tmp_path)
    np.testing.assert_array_equal(targets["0"], mask(0, 1, 1, 255))


def test_classes_without_values_are_numbered_in_their_order(tmp_path):
    folder_of(tmp_path, mask(0, 1, 2, 255), mask(0, 1, 2))
    describe(tmp_path, 'name = "a"', 'name = "b"', 'name = "c"')
    train, targets = all_of(tmp_path)
    assert train.class_names == ("a", "b", "c")
    np.testing.assert_array_equal(targets["0"], mask(0, 1, 2, 255))


def test_one_class_alone_has_all_else_as_its_background(tmp_path):
    folder_of(tmp_path, mask(0, 17, 255), mask(3, 4))
    describe(tmp_path, 'name = "cell"\nvalue = 255\ncolour = [9, 8, 7]')
    train, targets = all_of(tmp_path)
    assert train.class_names == ("background", "cell")
    assert train.palette.tolist() == [[0, 0, 0], [9, 8, 7]]
    np.testing.assert_array_equal(targets["0"], mask(0, 0, 1))
    np.testing.assert_array_equal(targets["1"], mask(0))


def test_a_turned_photograph_has_a_turned_mask(tmp_path):
    folder_of(tmp_path, mask(0, 1), mask(0, 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(grey(0)).save(tmp_path / "images/0.png", exif=exif)
    save(tmp_path / "masks/0.png", np.rot90(mask(0, 1), -1).copy())
    _, targets = all_of(tmp_path)
    assert targets["0"].shape == (14, 10)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ([mask(0), mask(0)], "all 3 mask(s) hold one number, 0; two classes are needed"),
        ([mask(0, 128, 255)] * 2, "the numbers 0, 128, 255, spread like brightness, so that 255"),
        (
            [coloured((0, 0, 0), RED), mask(0, 3)],
            "holds colours and {root}/masks/1.png class numbers; all masks must be of one kind",
        ),
        (
            [np.arange(2400, dtype=np.uint16).reshape(40, 60)],
            "the masks hold 2,400 numbers, more than 1,000 classes",
        ),
    ],
)
def test_masks_that_leave_the_classes_open_are_refused(tmp_path, masks, message):
    for number, pixels in enumerate([*masks, masks[0]]):
        save(tmp_path / f"images/{number}.png", grey(number, pixels.shape[:2]))
        save(tmp_path / f"masks/{number}.png", pixels)
    with pytest.raises(UsageError, match=re.escape(message.format(root=tmp_path))):
        all_of(tmp_path)


def test_files_that_are_no_masks_are_refused(tmp_path):
    folder_of(tmp_path, mask(0, 1), mask(0, 1))
    noise = np.random.default_rng(0).integers(256, size=(*SIZE, 4), dtype=np.uint8)
    save(tmp_path / "masks/1.png", noise)
    with pytest.raises(FileError, match=r"1\.png is transparent at row 0, column 0; the class"):
        all_of(tmp_path)
    noise[:, :, 3] = 255
    size = (30, 40)
    noise = np.random.default_rng(0).integers(256, size=(*size, 3), dtype=np.uint8)
    save(tmp_path / "images/1.png", grey(1, size))
    save(tmp_path / "masks/1.png", noise)
    with pytest.raises(FileError, match=r"1\.png has 1,200 colours, more than 256: it is a photo"):
        all_of(tmp_path)
    (tmp_path / "masks/1.png").unlink()
    save(tmp_path / "masks/1.jpg", mask(0, 255, size=size))
    with pytest.raises(FileError, match=r"1\.jpg is a JPEG, which changes class numbers at every"):
        all_of(tmp_path)


@pytest.mark.parametrize("max_table", [0, 2**16])  # searched, or looked up
@pytest.mark.parametrize("other", [None, 2, masks.IGNORED])
def test_values_become_classes_as_one_by_one(monkeypatch, max_table, other):
    monkeypatch.setattr(masks, "_MAX_TABLE", max_table)
    table = ((0, 1), (7, masks.IGNORED), (9, 0), (300, 2), (60_000, 3))
    known = [value for value, _ in table]
    values = known if other is None else [*known, 1, 8, 299, 301, 65_535]
    labels = np.random.default_rng(0).choice(values, size=(5, 40))
    codec = masks.MaskCodec(by_colour=False, table=table, other=other)
    file = LabelFile(labels=labels, palette=None, mode="I;16")
    found = codec.classes_in(file, Path("a.png"), ignore_index=255)
    classes = {**dict.fromkeys(values, other), **dict(table)}
    classes = {value: 255 if each == masks.IGNORED else each for value, each in classes.items()}
    assert found.tolist() == [[classes[value] for value in row] for row in labels.tolist()]
    assert found.dtype == np.int32
    if other is None:  # also below zero, where a table would count from its end
        for value in (1, -1, 70_000):
            labels[3, 4] = value
            with pytest.raises(FileError, match=rf"value {value} at row 3, column 4 is no class"):
                codec.classes_in(file, Path("a.png"), ignore_index=255)


def test_a_negative_class_of_the_table_is_no_value_from_its_end():
    codec = masks.MaskCodec(
        by_colour=False, table=((-1, masks.IGNORED), (0, 0), (3, 1)), other=None
    )
    file = LabelFile(labels=np.array([[0, 3, 4]]), palette=None, mode="L")
    with pytest.raises(FileError, match="value 4 at row 0, column 2 is no class"):
        codec.classes_in(file, Path("a.png"), ignore_index=255)
