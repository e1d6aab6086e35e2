"""TIFFs of many channels: told by their tags, read whole, and refused where that cannot be."""

import struct
import sys

import numpy as np
import pytest
from PIL import Image

from autoseg.data import FolderImages
from autoseg.data.channels import read_channels, size_and_channels
from autoseg.data.spectral import SpectralHeader, spectral_header
from autoseg.errors import FileError, UsageError
from tests.data.folder.drawing import mask, save
from tests.fuzzing import damaged_bytes, require_clean_refusals

SIZE = (20, 30)


def draw(num_channels, dtype=np.uint8):
    """Draw (H, W, C) of numbers, or of fractions of 1."""
    values = np.random.default_rng(num_channels).integers(256, size=(*SIZE, num_channels))
    return (values / 255).astype(dtype) if dtype == np.float32 else values.astype(dtype)


def write_tiff(path, pixels, *, photometric=1, extra=(), planar=False, order="<", is_big=False):
    """Write a TIFF of one strip, or of one a channel, without the library that reads it."""
    height, width, channels = pixels.shape
    stored = np.moveaxis(pixels, -1, 0) if planar else pixels
    data = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    strips = channels if planar else 1
    kind = {"u": 1, "f": 3}[pixels.dtype.kind]
    head = 16 if is_big else 8
    size = len(data) // strips
    tags = [
        (256, "L", [width]),
        (257, "L", [height]),
        (258, "H", [pixels.dtype.itemsize * 8] * channels),
        (259, "H", [1]),  # not packed
        (262, "H", [photometric]),
        (273, "L", [head + size * strip for strip in range(strips)]),
        (277, "H", [channels]),
        (278, "L", [height]),
        (279, "L", [size] * strips),
        (284, "H", [2 if planar else 1]),
        *([(338, "H", list(extra))] if extra else []),
        (339, "H", [kind] * channels),
    ]
    word, room = ("Q", 8) if is_big else ("L", 4)
    start = head + len(data)
    count = struct.pack(order + ("Q" if is_big else "H"), len(tags))
    place = start + len(count) + len(tags) * (20 if is_big else 12) + room
    entries, behind = b"", b""
    for tag, letter, values in tags:
        value = struct.pack(f"{order}{len(values)}{letter}", *values)
        if len(value) > room:
            value, behind = struct.pack(order + word, place + len(behind)), behind + value
        entries += struct.pack(f"{order}HH{word}", tag, 3 if letter == "H" else 4, len(values))
        entries += value.ljust(room, b"\0")
    mark = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if is_big else 42)
    mark += struct.pack(f"{order}HH", 8, 0) if is_big else b""
    first = struct.pack(order + word, start)
    path.write_bytes(mark + first + data + count + entries + bytes(room) + behind)
    return path


@pytest.mark.parametrize("is_big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("num_channels", [2, 5, 16])
def test_all_channels_are_read(tmp_path, num_channels, planar, order, is_big):
    pytest.importorskip("tifffile")
    pixels = draw(num_channels)
    path = write_tiff(tmp_path / "a.tif", pixels, planar=planar, order=order, is_big=is_big)
    assert size_and_channels(path) == (SIZE, num_channels)
    np.testing.assert_array_equal(read_channels(path, num_channels), np.moveaxis(pixels, -1, 0))


def test_numbers_are_scaled_as_those_of_arrays(tmp_path):
    pytest.importorskip("tifffile")
    expected = np.moveaxis(draw(5), -1, 0)
    deep = write_tiff(tmp_path / "deep.tif", draw(5).astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_channels(deep, 5), expected)
    fractions = write_tiff(tmp_path / "fractions.tif", draw(5, np.float32))
    np.testing.assert_array_equal(read_channels(fractions, 5), expected)
    counts = write_tiff(tmp_path / "counts.tif", draw(5, np.float32) * 3000)
    with pytest.raises(FileError, match=r"counts.tif holds float32 values from .*known"):
        read_channels(counts, 5)


@pytest.mark.parametrize(
    ("photometric", "num_channels", "extra", "is_spectral"),
    [
        (1, 1, (), False),
        (1, 2, (1,), False),  # grey and transparency
        (1, 2, (0,), True),
        (1, 4, (0, 0, 0), True),
        (2, 3, (), False),
        (2, 4, (2,), False),  # colours and transparency
        (2, 4, (0,), True),  # near infrared beside the colours
        (2, 5, (0, 0), True),
        (2, 5, (2, 0), True),
        (5, 4, (), False),  # CMYK
        (5, 5, (0,), True),
    ],
)
def test_what_the_tags_say_decides(tmp_path, photometric, num_channels, extra, is_spectral):
    path = tmp_path / "a.tif"
    write_tiff(path, draw(num_channels), photometric=photometric, extra=extra)
    expected = SpectralHeader(size=SIZE, num_channels=num_channels) if is_spectral else None
    assert spectral_header(path) == expected


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "I;16", "F", "1", "P"])
def test_pillows_own_tiffs_are_pictures(tmp_path, mode):
    path = tmp_path / "a.tif"
    Image.new(mode, (30, 20)).save(path)
    assert spectral_header(path) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"II", b"II*\0\xff\xff\xff\x7f", b"II*\0\x08\0\0\0\xff\xff", b"II+\0\x08\0\0\0", b"text"],
)
def test_a_damaged_header_is_left_to_the_reader_of_pictures(tmp_path, content):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    assert spectral_header(path) is None
    with pytest.raises(FileError, match=r"a.tif is not an image"):
        size_and_channels(path)


def test_without_tifffile_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    path = write_tiff(tmp_path / "a.tif", draw(5))
    message = r"a.tif has channels beyond a picture's, .*pip install 'autoseg-nas\[tiff\]'; or save"
    for read in (size_and_channels, lambda path: read_channels(path, 5)):
        with pytest.raises(UsageError, match=message):
            read(path)


def test_what_does_not_fit_is_named(tmp_path, monkeypatch):
    pytest.importorskip("tifffile")
    path = write_tiff(tmp_path / "a.tif", draw(5))
    with pytest.raises(
        FileError, match=r"a.tif has 5 channel\(s\) of 20 x 30 pixels; 6 are needed"
    ):
        read_channels(path, 6)
    content = path.read_bytes()
    path.write_bytes(content[:8] + content[2008:])  # its place of the tags lies behind the end
    with pytest.raises(FileError, match=r"a.tif is a picture, and the other images have 5"):
        read_channels(path, 5)
    with pytest.raises(FileError, match=r"has 17 channels of .*at most 16 channels"):
        size_and_channels(write_tiff(tmp_path / "b.tif", draw(17)))
    monkeypatch.setenv("AUTOSEG_MAX_PIXELS", "599")
    with pytest.raises(FileError, match=r"c.tif has 600 pixels, more than the 599"):
        read_channels(write_tiff(tmp_path / "c.tif", draw(5)), 5)


@pytest.mark.fuzz
@pytest.mark.parametrize("options", [{}, {"planar": True}, {"is_big": True}])
def test_damaged_files_are_refused_by_name(memory_folder, options):
    pytest.importorskip("tifffile")
    path = write_tiff(memory_folder / "a.tif", draw(5), **options)
    content = path.read_bytes()
    tags = damaged_bytes(content[-300:]).map(lambda tags: content[:-300] + tags)
    require_clean_refusals(
        lambda path: read_channels(path, size_and_channels(path)[1]),
        path,
        tags | damaged_bytes(content),
    )


def test_strips_that_are_missing_are_no_zeros(tmp_path):
    pytest.importorskip("tifffile")
    path = write_tiff(tmp_path / "a.tif", draw(5), planar=True)
    # The picture grows from 20 to 20,000 lines, of which the file has 20.
    height, more = (struct.pack("<HHLL", 257, 4, 1, lines) for lines in (20, 20_000))
    path.write_bytes(path.read_bytes().replace(height, more))
    assert size_and_channels(path) == ((20_000, 30), 5)
    with pytest.raises(FileError, match=r"a.tif is damaged: its strips are not those of 20000 x"):
        read_channels(path, 5)


def test_a_folder_of_them_is_a_dataset_of_as_many_channels(tmp_path):
    pytest.importorskip("tifffile")
    (tmp_path / "images").mkdir()
    for number in range(3):
        pixels = np.roll(draw(4), number, axis=0)
        write_tiff(tmp_path / f"images/{number}.tif", pixels, photometric=2, extra=(0,))
        save(tmp_path / f"masks/{number}.png", mask(0, 255, size=SIZE))
    train = FolderImages(split="train", data_root=tmp_path)
    assert train.num_channels == 4
    assert train[0].image.shape == (4, *SIZE)
    (tmp_path / "dataset.toml").write_text("channels = 3\n")
    three = FolderImages(split="train", data_root=tmp_path)
    np.testing.assert_array_equal(three[0].image.numpy(), train[0].image[:3].numpy())
