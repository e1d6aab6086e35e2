"""Label images: numbers as stored, and back."""

import numpy as np
import pytest
from PIL import Image

from autoseg.data.labels import default_palette, label_image, read_labels
from autoseg.errors import FileError
from tests.data.test_images import png
from tests.fuzzing import damaged_bytes, require_clean_refusals

LABELS = np.array([[0, 1, 2], [2, 1, 0]])


@pytest.mark.parametrize(
    ("mode", "scale", "name"),
    [
        ("1", 1, "a.png"),
        ("L", 100, "a.png"),
        ("P", 100, "a.png"),
        ("I;16", 30_000, "a.png"),
        ("I;16", 30_000, "a.tif"),
    ],
)
def test_numbers_come_back_as_they_were_stored(tmp_path, mode, scale, name):
    labels = np.minimum(LABELS, 1) if mode == "1" else LABELS * scale
    palette = default_palette() if mode == "P" else None
    label_image(labels, palette=palette, mode=mode).save(tmp_path / name)
    file = read_labels(tmp_path / name)
    np.testing.assert_array_equal(file.labels, labels)
    assert file.mode == mode
    assert (file.palette is None) == (palette is None)


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_of_few_bits_is_read_as_the_numbers_stored(tmp_path, bits):
    # Pillow gives 0, 85, ... or 0, 17, ...: brightness, where labels are numbers.
    labels = np.arange(2**bits)[None]
    row = int("".join(f"{number:0{bits}b}" for number in labels[0]), 2)
    rows = [row.to_bytes(bits * 2**bits // 8, "big")]
    content = png(rows, bit_depth=bits, colour_type=0, size=labels.shape)
    (tmp_path / "a.png").write_bytes(content)
    file = read_labels(tmp_path / "a.png")
    np.testing.assert_array_equal(file.labels, labels)
    assert file.mode == "L"


def test_a_jpeg_is_no_label(tmp_path):
    Image.fromarray(LABELS.astype(np.uint8)).save(tmp_path / "a.jpg")
    with pytest.raises(FileError, match=r"a\.jpg is a JPEG, which changes class numbers at every"):
        read_labels(tmp_path / "a.jpg")


def test_numbers_that_do_not_fit_a_mode_get_a_wider_one():
    assert label_image(LABELS, palette=None, mode="1").mode == "L"
    assert label_image(LABELS * 200, palette=default_palette(), mode="P").mode == "I;16"


def test_a_turned_label_is_turned_as_its_photograph(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.rot90(LABELS.astype(np.uint8)).copy()
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png").labels, LABELS)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "F"])
def test_colours_and_fractions_are_no_labels(tmp_path, mode):
    Image.new(mode, (3, 2)).save(tmp_path / "a.tif")
    with pytest.raises(FileError, match=rf"a\.tif has mode {mode}, that is colours or transp"):
        read_labels(tmp_path / "a.tif")


@pytest.mark.fuzz
@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_damaged_labels_are_read_or_refused_by_name(memory_folder, mode):
    path = memory_folder / "a.png"
    palette = default_palette() if mode == "P" else None
    label_image(LABELS, palette=palette, mode=mode).save(path)
    require_clean_refusals(read_labels, path, damaged_bytes(path.read_bytes()))
