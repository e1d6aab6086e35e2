"""Parts of TIFFs: what the whole file holds there, and no more is read than is asked for."""

import numpy as np
import pytest
from PIL import Image

from autoseg.data.channels import allows_regions, open_regions, read_channels
from autoseg.errors import FileError

tifffile = pytest.importorskip("tifffile")

SIZE = (75, 110)
PARTS = [
    (slice(0, 75), slice(0, 110)),
    (slice(0, 1), slice(109, 110)),
    (slice(15, 33), slice(31, 65)),  # over the borders of tiles and strips
    (slice(64, 75), slice(96, 110)),  # in the last ones, which are cut
]
DEFLATE, TILE = {"compression": "zlib"}, {"tile": (16, 32)}


def draw(*shape, dtype="uint8"):
    return np.random.default_rng(0).integers(np.iinfo(dtype).max + 1, size=shape).astype(dtype)


@pytest.mark.parametrize(
    ("pixels", "num_channels", "options"),
    [
        (draw(*SIZE, 3), 3, {"photometric": "rgb"}),  # mapped
        (draw(*SIZE, 3), 3, {"photometric": "rgb", **TILE}),
        (draw(*SIZE, 3), 3, {"photometric": "rgb", **TILE, **DEFLATE, "predictor": True}),
        (draw(*SIZE, 3), 1, {"photometric": "rgb", "rowsperstrip": 7, **DEFLATE}),
        (draw(*SIZE), 1, {"photometric": "minisblack", "rowsperstrip": 7, **DEFLATE}),
        (draw(*SIZE, dtype="uint16"), 3, {"photometric": "minisblack", "byteorder": ">"}),
        (draw(*SIZE, dtype="uint16"), 1, {"photometric": "minisblack", **TILE, **DEFLATE}),
        (draw(*SIZE, 5), 5, {"photometric": "minisblack", "planarconfig": "contig", **TILE}),
        (
            draw(5, *SIZE, dtype="uint16"),
            5,
            {"photometric": "minisblack", "planarconfig": "separate", **TILE, **DEFLATE},
        ),
        (draw(5, *SIZE), 5, {"photometric": "minisblack", "planarconfig": "separate"}),
        (draw(*SIZE, 3), 3, {"photometric": "rgb", "bigtiff": True, **TILE}),
    ],
)
def test_a_part_is_that_of_the_whole(tmp_path, pixels, num_channels, options):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, pixels, metadata=None, **options)
    assert allows_regions(path, num_channels)
    whole = read_channels(path, num_channels)
    with open_regions(path, num_channels) as regions:
        assert regions.size == SIZE
        for rows, columns in PARTS:
            part = regions.read(rows, columns)
            assert part.dtype == np.uint8 and part.flags.c_contiguous
            np.testing.assert_array_equal(part, whole[:, rows, columns])


def test_damage_elsewhere_is_not_read(tmp_path):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, draw(*SIZE, 3), photometric="rgb", metadata=None, **TILE, **DEFLATE)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        last, length = page.dataoffsets[-1], page.databytecounts[-1]
    content = bytearray(path.read_bytes())
    content[last : last + length] = bytes(length)
    path.write_bytes(content)
    with open_regions(path, 3) as regions:
        regions.read(slice(0, 64), slice(0, 96))
        with pytest.raises(FileError, match=r"image\.tif is not a TIFF that can be read: "):
            regions.read(slice(0, 75), slice(0, 110))


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("write", "num_channels"),
    [
        # Colours by a palette, transparency, white as 0, turned, packed with a loss or in a way
        # that needs imagecodecs, in one strip that has to be unpacked, of several pages, cut.
        (lambda path: Image.fromarray(draw(*SIZE)).convert("P").save(path), 3),
        (lambda path: Image.fromarray(draw(*SIZE, 4)).save(path), 3),
        (lambda path: tifffile.imwrite(path, draw(*SIZE), photometric="miniswhite"), 1),
        (
            lambda path: tifffile.imwrite(
                path, draw(*SIZE), photometric="minisblack", extratags=[(274, "H", 1, 6, True)]
            ),
            1,
        ),
        (lambda path: Image.fromarray(draw(*SIZE, 3)).save(path, compression="jpeg"), 3),
        (lambda path: Image.fromarray(draw(*SIZE, 3)).save(path, compression="lzma"), 3),
        (lambda path: tifffile.imwrite(path, draw(2, *SIZE), photometric="minisblack"), 1),
        (lambda path: tifffile.imwrite(path, draw(*SIZE, dtype="uint16")) or cut(path), 1),
        (lambda path: path.write_text("no TIFF"), 1),
        (lambda path: tifffile.imwrite(path, draw(*SIZE), photometric="minisblack"), 5),
    ],
)
def test_all_others_are_left_to_whoever_reads_the_whole(tmp_path, monkeypatch, write, num_channels):
    monkeypatch.setattr("autoseg.data.tiff_regions._WITH_IMAGECODECS", set())
    path = tmp_path / "image.tif"
    write(path)
    assert not allows_regions(path, num_channels)
