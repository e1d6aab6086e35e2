"""Images against pixels that the tests wrote themselves, format by format."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autoseg.data.images import find_images, image_size, read_image
from autoseg.errors import FileError, UsageError
from tests.data.test_spectral import write_tiff
from tests.fuzzing import damaged_bytes, require_clean_refusals

GREY = np.tile(np.arange(0, 256, 15, dtype=np.uint8), (4, 1))  # (4, 18)
COLOURS = np.stack([GREY, GREY[:, ::-1], 255 - GREY], axis=2)


def png(rows, *, bit_depth, colour_type, size, extra=b"", interlaced=False):
    """Write a PNG by hand: the oracle for depths that Pillow does not write."""

    def chunk(kind, body):
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    head = struct.pack(">IIBBBBB", size[1], size[0], bit_depth, colour_type, 0, 0, interlaced)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + extra
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def save(path, pixels, mode=None, **options):
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def test_colours_are_read_as_they_are(tmp_path):
    for name in ("a.png", "a.bmp", "a.tif", "a.webp"):
        path = save(tmp_path / name, COLOURS, **({"lossless": True} if "webp" in name else {}))
        np.testing.assert_array_equal(read_image(path), COLOURS)
        assert image_size(path) == (4, 18)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_16_bits_are_scaled_by_their_full_range(tmp_path, name):
    path = save(tmp_path / name, GREY.astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(path), np.repeat(GREY[..., None], 3, axis=2))


def test_16_bit_colours_are_scaled_by_their_full_range(tmp_path):
    rows = [row.astype(">u2").tobytes() for row in COLOURS.astype(np.uint16) * 257]
    (tmp_path / "a.png").write_bytes(png(rows, bit_depth=16, colour_type=2, size=(4, 18)))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), COLOURS)


def test_floating_point_in_0_to_1_is_scaled(tmp_path):
    path = save(tmp_path / "a.tif", GREY.astype(np.float32) / 255)
    np.testing.assert_array_equal(read_image(path), np.repeat(GREY[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (
            GREY.astype(np.float32),
            r"holds floating point values from 0 to 255, whose black",
        ),
        (np.full((2, 2), np.nan, np.float32), r"holds floating point values from nan to nan"),
        (GREY.astype(np.int32), r"holds signed or 32-bit integers, whose black and white are unk"),
    ],
)
def test_numbers_without_a_known_range_are_refused(tmp_path, pixels, message):
    path = save(tmp_path / "a.tif", pixels)
    with pytest.raises(FileError, match=rf"a\.tif {message}"):
        read_image(path)


def test_one_bit_is_black_and_white(tmp_path):
    path = save(tmp_path / "a.png", GREY > 100)
    expected = np.repeat(np.where(GREY > 100, 255, 0)[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_image(path), expected)


def test_a_palette_shows_its_colours(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [1, 2]], np.uint8))
    image.putpalette([1, 2, 3, 40, 50, 60, 250, 240, 230])
    image.save(tmp_path / "a.png")
    expected = [[[1, 2, 3], [40, 50, 60]], [[40, 50, 60], [250, 240, 230]]]
    assert read_image(tmp_path / "a.png").tolist() == expected


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_composed_over_white(tmp_path, mode):
    # Opaque, half and fully transparent; half of (100, 100, 100) over white is 255 - 155 * a.
    alpha = [255, 128, 0]
    if mode == "P":
        image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
        image.putpalette([100] * 9)
        image.save(tmp_path / "a.png", transparency=bytes(alpha))
    else:
        channels = 3 if mode == "RGBA" else 1
        pixels = np.array([[[100] * channels + [a] for a in alpha]], np.uint8)
        Image.fromarray(pixels).save(tmp_path / "a.png")
    shown = read_image(tmp_path / "a.png")[0, :, 0]
    expected = [255 - 155 * a / 255 for a in alpha]
    np.testing.assert_allclose(shown, expected, atol=1)  # 8-bit rounding


def test_cmyk_becomes_the_colour_that_it_prints(tmp_path):
    save(tmp_path / "a.tif", COLOURS, mode="CMYK")
    np.testing.assert_allclose(read_image(tmp_path / "a.tif"), COLOURS, atol=1)


# EXIF 2.32, tag 0x0112: where the stored row 0 and column 0 are, as shown.
STORED_AS = {
    1: lambda shown: shown,
    2: lambda shown: shown[:, ::-1],
    3: lambda shown: shown[::-1, ::-1],
    4: lambda shown: shown[::-1],
    5: lambda shown: shown.transpose(1, 0, 2),
    6: lambda shown: np.rot90(shown),
    7: lambda shown: np.rot90(shown, 2).transpose(1, 0, 2),
    8: lambda shown: np.rot90(shown, -1),
}
WAYS_TO_SAVE = {
    "a.png": {},
    "a.tif": {},
    "packed.tif": {"compression": "tiff_lzw"},
    "a.webp": {"lossless": True},
    "a.jpg": {"quality": 100, "subsampling": 0},
}


@pytest.mark.parametrize("name", WAYS_TO_SAVE)
@pytest.mark.parametrize("orientation", STORED_AS)
def test_an_image_is_turned_as_viewers_show_it(tmp_path, orientation, name):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED_AS[orientation](COLOURS))
    path = save(tmp_path / name, stored, exif=exif, **WAYS_TO_SAVE[name])
    np.testing.assert_allclose(read_image(path), COLOURS, atol=9 if ".jpg" in name else 0)
    assert image_size(path) == (4, 18)


@pytest.mark.parametrize("number", [0, 9, 40_000])
def test_an_orientation_that_exif_does_not_know_turns_nothing(tmp_path, number):
    exif = Image.Exif()
    exif[0x0112] = number
    for name in ("a.png", "a.tif"):
        path = save(tmp_path / name, COLOURS, exif=exif)
        np.testing.assert_array_equal(read_image(path), COLOURS)
        assert image_size(path) == (4, 18)


def test_an_orientation_behind_a_pngs_pixels_counts_too(tmp_path):
    # Where exiftool writes it.
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.png", np.ascontiguousarray(np.rot90(COLOURS)), exif=exif)
    content = path.read_bytes()
    start = content.index(b"eXIf") - 4
    length = 12 + struct.unpack(">I", content[start : start + 4])[0]
    chunk = content[start : start + length]
    rest = content.replace(chunk, b"")
    end = rest.index(b"IEND") - 4
    path.write_bytes(rest[:end] + chunk + rest[end:])
    np.testing.assert_array_equal(read_image(path), COLOURS)
    assert image_size(path) == (4, 18)


def tiff(rows, *, size, bits, photometric, sample_format=1):
    """Write a grey TIFF by hand: a strip of bytes, and what its numbers mean."""
    data = b"".join(rows)
    tags = {
        256: size[1],
        257: size[0],
        258: bits,
        259: 1,
        262: photometric,
        273: 8,
        277: 1,
        278: size[0],
        279: len(data),
        339: sample_format,
    }
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory


@pytest.mark.parametrize(
    ("dtype", "scale", "sample_format"), [("u1", 1, 1), ("<u2", 257, 1), ("<f4", 1 / 255, 3)]
)
@pytest.mark.parametrize("white_is_zero", [True, False])
def test_white_is_zero_where_a_tiff_says_so(tmp_path, dtype, scale, sample_format, white_is_zero):
    stored = (GREY * np.dtype(dtype).type(scale)).astype(dtype)
    (tmp_path / "a.tif").write_bytes(
        tiff(
            [row.tobytes() for row in stored],
            size=(4, 18),
            bits=8 * stored.itemsize,
            photometric=0 if white_is_zero else 1,
            sample_format=sample_format,
        )
    )
    expected = 255 - GREY if white_is_zero else GREY
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[:, :, 1], expected)


def test_a_tiff_of_12_bits_is_scaled_by_its_own_range(tmp_path):
    # Two numbers in three bytes: 0, 0x111, ..., 0xfff are 0, 17, ..., 255 of 255.
    numbers = [number * 0x111 for number in range(16)]
    row = int("".join(f"{number:03x}" for number in numbers), 16).to_bytes(24, "big")
    (tmp_path / "a.tif").write_bytes(tiff([row], size=(1, 16), bits=12, photometric=1))
    assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == [17 * n for n in range(16)]


def test_the_transparent_grey_of_16_bits_is_composed_over_white(tmp_path):
    body = struct.pack(">H", 257 * 15)
    chunk = struct.pack(">I", 2) + b"tRNS" + body + struct.pack(">I", zlib.crc32(b"tRNS" + body))
    rows = [row.astype(">u2").tobytes() for row in GREY.astype(np.uint16) * 257]
    content = png(rows, bit_depth=16, colour_type=0, size=(4, 18), extra=chunk)
    (tmp_path / "a.png").write_bytes(content)
    expected = np.where(GREY == 15, 255, GREY)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[:, :, 2], expected)


def test_several_pages_are_refused(tmp_path):
    pages = [Image.fromarray(GREY), Image.fromarray(GREY[:, ::-1].copy())]
    for name in ("a.tif", "a.gif"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        with pytest.raises(FileError, match=rf"{name} holds several pages or frames; save"):
            read_image(tmp_path / name)


def bomb(size=(20_000, 20_000)):
    return png([b"\0" * 20_000], bit_depth=8, colour_type=0, size=size)


def test_pixels_are_counted_before_memory_is_taken(tmp_path, monkeypatch):
    (tmp_path / "huge.png").write_bytes(bomb())
    message = r"huge\.png has 20000 x 20000 pixels, more than the 268,435,456 .*PIXELS=400000000 al"
    for read in (read_image, image_size):
        with pytest.raises(FileError, match=message):
            read(tmp_path / "huge.png")
    monkeypatch.setenv("AUTOSEG_MAX_PIXELS", "400000000")
    assert image_size(tmp_path / "huge.png") == (20_000, 20_000)
    monkeypatch.setenv("AUTOSEG_MAX_PIXELS", "many")
    with pytest.raises(UsageError, match=r"AUTOSEG_MAX_PIXELS='many' must be a whole number"):
        image_size(tmp_path / "huge.png")
    monkeypatch.setenv("AUTOSEG_MAX_PIXELS", "10")
    with pytest.raises(FileError, match=r"4 x 18 pixels, more than the 10"):
        read_image(save(tmp_path / "a.png", GREY))


CORPUS = {
    "empty.png": b"",
    "text.png": b"not an image\n",
    "._a.png": b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X",
    "page.png": b"<html>404</html>",
    "broken_chunk.png": png([b"\0" * 18] * 4, bit_depth=8, colour_type=0, size=(4, 18))[:37]
    + b"zzzz",
    "cut.png": png([b"\0" * 18] * 4, bit_depth=8, colour_type=0, size=(4, 18))[:48],
    "no_size.png": png([b""], bit_depth=8, colour_type=0, size=(0, 0)),
    "program.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
}


@pytest.mark.parametrize("name", CORPUS)
def test_what_is_no_image_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(CORPUS[name])
    with pytest.raises(FileError) as caught:
        read_image(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name} ")
    assert "\n" not in str(caught.value)


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(FileError, match=r"pipe\.png is no regular file but a pipe"):
        read_image(tmp_path / "pipe.png")
    with pytest.raises(FileError, match=r"is a folder; name a file in it"):
        read_image(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"gone\.png cannot be read: No such file"):
        read_image(tmp_path / "gone.png")


def tag(number, value):
    """Write a tag of one 32-bit number, as a TIFF holds it."""
    return struct.pack("<HHLL", number, 4, 1, value)


def strips(number):
    """Begin the tag of so many strips' places."""
    return struct.pack("<HHL", 273, 4, number)


@pytest.mark.parametrize(
    ("planar", "good", "damaged", "height"),
    [
        (False, tag(257, 4), tag(257, 5), 5),
        (True, tag(257, 4), tag(257, 4_000), 4_000),
        (False, tag(278, 4), tag(278, 3), 4),
        (True, strips(3), strips(2), 4),  # no blue
        (False, tag(273, 8), tag(273, 0), 4),  # a hole, as some writers leave one
    ],
)
def test_a_tiff_that_lacks_pixels_is_not_black_there(tmp_path, planar, good, damaged, height):
    path = write_tiff(tmp_path / "a.tif", COLOURS, photometric=2, planar=planar)
    assert np.array_equal(read_image(path), COLOURS)
    content = path.read_bytes()
    assert content.count(good) == 1
    path.write_bytes(content.replace(good, damaged))
    for read in (read_image, image_size):
        with pytest.raises(
            FileError, match=rf"a\.tif is damaged: .* not those of {height} x 18 pix"
        ):
            read(path)


def test_a_tiff_of_too_many_strips_does_not_show_the_last_ones_first(tmp_path):
    path = save(tmp_path / "a.tif", GREY, tiffinfo={278: 1})
    content = path.read_bytes()
    assert content.count(tag(257, 4)) == 1
    path.write_bytes(content.replace(tag(257, 4), tag(257, 2)))
    with pytest.raises(FileError, match=r"a\.tif is damaged: .* not those of 2 x 18 pixels; copy"):
        read_image(path)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp"])
def test_damaged_images_are_read_or_refused_by_name(memory_folder, name):
    content = save(memory_folder / name, COLOURS).read_bytes()
    require_clean_refusals(read_image, memory_folder / name, damaged_bytes(content))


def test_hidden_and_other_files_of_a_folder_are_left_out(tmp_path):
    for name in ("b.png", "a.JPG", "notes.txt", "._a.png"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "below.png").mkdir()
    found, left_out = find_images([tmp_path])
    assert [path.name for path in found] == ["a.JPG", "b.png"]
    assert [path.name for path in left_out] == ["notes.txt"]
    assert find_images([tmp_path / "notes.txt"]) == ([tmp_path / "notes.txt"], [])
    with pytest.raises(UsageError, match=r"below\.png holds no image \(.*\)\.$"):
        find_images([tmp_path / "below.png"])
    (tmp_path / "below.png" / "further").mkdir()
    with pytest.raises(UsageError, match=r"holds no image \(.*\); folders in it are not searched"):
        find_images([tmp_path / "below.png"])
    with pytest.raises(UsageError, match=r"gone does not exist"):
        find_images([Path("gone")])


def test_broken_links_and_pipes_among_images_are_not_passed_over(tmp_path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "round.png").symlink_to(tmp_path / "round.png")
    os.mkfifo(tmp_path / "pipe.png")
    found, _ = find_images([tmp_path])
    assert [path.name for path in found] == ["gone.png", "pipe.png", "round.png"]
    for path in found:
        with pytest.raises((FileError, OSError), match=path.name):
            read_image(path)


def test_a_file_named_twice_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    found, _ = find_images([Path("b.png"), tmp_path, Path("a.png")])
    assert sorted(path.name for path in found) == ["a.png", "b.png"]
