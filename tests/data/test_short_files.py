"""PNGs whose data ends before their pixels do, in good order: every checksum is right."""

import numpy as np
import pytest

from autoseg.data.images import _MARK, read_image
from autoseg.data.labels import read_labels, read_mask
from autoseg.errors import FileError
from tests.data.test_images import png

# Of an interlaced PNG's seven passes: the first column and row, and the steps.
PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


@pytest.mark.parametrize("height", [8, 9])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("bit_depth", "value", "grey"),
    # Black, and what memory is filled with, are no sign by themselves.
    [(1, 0, 0), (1, 1, 255), (8, 0, 0), (8, 7, 7), (8, _MARK, _MARK)],
)
def test_missing_rows_are_refused(tmp_path, bit_depth, value, grey, interlaced, height):
    pixels = np.full((height, 8), value, np.uint8)
    parts = [pixels[y::dy, x::dx] for x, y, dx, dy in PASSES] if interlaced else [pixels]
    rows = [np.packbits(row) if bit_depth == 1 else row for part in parts for row in part]
    data = [row.tobytes() for row in rows]
    kind = {"bit_depth": bit_depth, "colour_type": 0, "interlaced": interlaced}
    path = tmp_path / "a.png"

    path.write_bytes(png(data, size=(height, 8), **kind))
    assert (read_image(path) == grey).all()
    assert (read_labels(path).labels == value).all()

    path.write_bytes(png(data[:-1], size=(height, 8), **kind))
    for read in (read_image, read_labels, read_mask):
        with pytest.raises(FileError, match=rf"a\.png is damaged: .* its {height} rows of pixels"):
            read(path)


@pytest.mark.parametrize("colour_type", [2, 6])
def test_missing_rows_of_colours_are_refused(tmp_path, colour_type):
    num_channels = {2: 3, 6: 4}[colour_type]
    data = [bytes([255] * 5 * num_channels)] * 3
    path = tmp_path / "a.png"
    path.write_bytes(png(data, bit_depth=8, colour_type=colour_type, size=(4, 5)))
    for read in (read_image, read_mask):
        with pytest.raises(FileError, match=r"a\.png is damaged: .* its 4 rows of pixels do"):
            read(path)
