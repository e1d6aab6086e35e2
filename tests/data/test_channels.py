"""Parts of an image against the whole of it, and how many numbers are read for them."""

import numpy as np
import pytest
from PIL import Image

from autoseg.data.channels import open_regions, read_channels
from autoseg.data.orientation import stored_part, upright
from autoseg.errors import FileError

ROWS, COLUMNS = slice(5, 17), slice(2, 30)
COLOURS = np.random.default_rng(0).integers(256, size=(20, 31, 3), dtype=np.uint8)
GREY = COLOURS[:, :, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_part_of_a_turned_picture_is_found_where_it_is_stored(orientation):
    stored = np.arange(6 * 9).reshape(6, 9)
    shown = upright(stored, orientation)
    rows, columns = slice(1, 4), slice(2, 6)
    part = stored[stored_part(rows, columns, shown.shape, orientation)]
    np.testing.assert_array_equal(upright(part, orientation), shown[rows, columns])


def turned(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOURS).save(path, exif=exif)


WRITERS = {
    "rgb.png": lambda path: Image.fromarray(COLOURS).save(path),
    "rgb.jpg": lambda path: Image.fromarray(COLOURS).save(path),
    "turned.jpg": turned,
    "palette.png": lambda path: Image.fromarray(COLOURS).quantize(16).save(path),
    "cmyk.tif": lambda path: Image.fromarray(COLOURS).convert("CMYK").save(path),
    "alpha.png": lambda path: Image.fromarray(np.dstack([COLOURS, GREY])).save(path),
    "key.png": lambda path: Image.fromarray(GREY).save(path, transparency=7),
    "deep.png": lambda path: Image.fromarray(GREY.astype(np.uint16) * 255).save(path),
    "fractions.tif": lambda path: Image.fromarray(GREY.astype(np.float32) / 255).save(path),
    "1.png": lambda path: Image.fromarray(GREY > 99).save(path),
    "numbers.npy": lambda path: np.save(path, COLOURS),
    "turned.npy": lambda path: np.save(path, np.asfortranarray(COLOURS.transpose(2, 0, 1))),
    "deep.npy": lambda path: np.save(path, COLOURS.astype(np.uint16) * 200),
    "fractions.npy": lambda path: np.save(path, (COLOURS / 255).astype(np.float32)),
    "truth.npy": lambda path: np.save(path, COLOURS > 99),
    "packed.npz": lambda path: np.savez_compressed(path, COLOURS),
}


@pytest.mark.parametrize(
    ("name", "num_channels"),
    [*((name, 3) for name in WRITERS), *((name, 1) for name in WRITERS if ".np" not in name)],
)
def test_a_part_is_that_of_the_whole(tmp_path, name, num_channels):
    path = tmp_path / name
    WRITERS[name](path)
    expected = read_channels(path, num_channels)
    rows, columns = (COLUMNS, ROWS) if name == "turned.jpg" else (ROWS, COLUMNS)
    with open_regions(path, num_channels) as image:
        assert (image.num_channels, *image.size) == expected.shape
        part = image.read(rows, columns)
        np.testing.assert_array_equal(part, expected[:, rows, columns])
        np.testing.assert_array_equal(image.whole(), expected)
        part[:] = 0  # a copy
        np.testing.assert_array_equal(image.whole(), expected)


def test_an_array_of_one_channel_and_of_many_is_mapped(tmp_path):
    np.save(tmp_path / "grey.npy", GREY)
    np.save(tmp_path / "many.npy", np.dstack([COLOURS, COLOURS])[:, :, :5])
    for name, num_channels in (("grey.npy", 1), ("many.npy", 5)):
        with open_regions(tmp_path / name, num_channels) as image:
            expected = read_channels(tmp_path / name, num_channels)
            np.testing.assert_array_equal(image.read(ROWS, COLUMNS), expected[:, ROWS, COLUMNS])


def test_a_bad_file_is_refused_when_it_is_opened(tmp_path):
    np.save(tmp_path / "cut.npy", COLOURS)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-1])
    np.save(tmp_path / "wide.npy", COLOURS.astype(np.float32))
    Image.fromarray(GREY.astype(np.float32)).save(tmp_path / "wide.tif")
    Image.fromarray(COLOURS).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:300])
    messages = {
        "cut.npy": r"cut.npy is cut: its header states 1,860 bytes, 1,859 are there\.",
        "wide.npy": r"wide.npy holds float32 values from 0 to 255, whose black",
        "wide.tif": r"wide.tif holds floating point values from 0 to 255, whose black",
        "cut.png": r"cut.png is not an image: ",
    }
    for name, message in messages.items():
        with pytest.raises(FileError, match=message), open_regions(tmp_path / name, 3):
            pass
