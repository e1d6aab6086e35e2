"""JPEGs that were cut and closed by an end mark: the rest, which a decoder makes grey, is missing.

The oracle is the whole file: what it decodes to, and that it is taken whatever it shows.
"""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from autoseg.data.images import read_image
from autoseg.errors import FileError

END = b"\xff\xd9"
WAYS_TO_SAVE = [
    {},
    {"subsampling": 0},
    {"optimize": True},
    {"restart_marker_blocks": 1},
    {"restart_marker_rows": 1},
]


def encoded(mode, size=(121, 90), **options):
    pixels = np.random.default_rng(0).normal(0, 9, (*size[::-1], 3)).cumsum(0).cumsum(1)
    image = Image.fromarray(np.clip(pixels + 90, 0, 255).astype(np.uint8)).convert(mode)
    file = BytesIO()
    image.save(file, "jpeg", quality=90, **options)
    return file.getvalue()


def scan_start(content):
    """Return where the data of the first scan begins."""
    mark = content.index(b"\xff\xda")
    return mark + 2 + int.from_bytes(content[mark + 2 : mark + 4], "big")


def cut(content, kept):
    """Keep a part of the data, and end it."""
    start = scan_start(content)
    return content[: start + int(kept * (len(content) - start - 2))].rstrip(b"\xff") + END


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", WAYS_TO_SAVE)
def test_what_was_cut_is_refused(tmp_path, mode, options):
    path = tmp_path / "a.jpg"
    content = encoded(mode, **options)
    path.write_bytes(content)
    assert np.array_equal(read_image(path), np.asarray(Image.open(path).convert("RGB")))
    for kept in (0.01, 0.3, 0.6, 0.9):
        path.write_bytes(cut(content, kept))
        with pytest.raises(FileError, match=r"a\.jpg is damaged: its data ends before its 90 rows"):
            read_image(path)


def test_the_end_of_another_picture_is_not_the_end(tmp_path):
    (tmp_path / "a.jpg").write_bytes(cut(encoded("RGB"), 0.5) + encoded("RGB"))
    with pytest.raises(FileError, match=r"a\.jpg is damaged: its data ends before its 90 rows of"):
        read_image(tmp_path / "a.jpg")


def test_of_a_progressive_one_the_first_scan(tmp_path):
    content = encoded("RGB", progressive=True)
    start = scan_start(content)
    (tmp_path / "a.jpg").write_bytes(content[: start + 100] + END)
    with pytest.raises(FileError, match=r"a\.jpg is damaged: its data ends before its 90 rows of"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("behind", [b"", b"\0" * 9, encoded("L") + b"and more"])
def test_whole_ones_that_end_in_grey_are_read(tmp_path, progressive, behind):
    # A second picture stands behind the end, as in a telephone's, and one before it, as a preview.
    pixels = np.full((40, 50, 3), 128, np.uint8)
    pixels[:9] = np.random.default_rng(0).integers(256, size=(9, 50, 3))
    file = BytesIO()
    preview = b"Exif\0\0" + encoded("RGB", size=(16, 16))
    Image.fromarray(pixels).save(file, "jpeg", progressive=progressive, exif=preview)
    path = tmp_path / "a.jpg"
    path.write_bytes(file.getvalue() + behind)
    assert np.array_equal(read_image(path), np.asarray(Image.open(path)))
