"""JPEGs that were cut and closed by an end mark: the rest, which a decoder makes grey, is missing.

The oracle is the whole file: what it decodes to, and that it is taken whatever it shows.
"""

import contextlib
import re
from io import BytesIO
from itertools import pairwise

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


def scan_start(content, after=0):
    """Return where the data of the first scan begins."""
    mark = content.index(b"\xff\xda", after)
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


def scan_starts(content):
    """Return where scans begin; their marks stand nowhere else in files without a preview."""
    return [each.start() for each in re.finditer(rb"\xff\xda", content)]


def by_pillow(path):
    """Return what Pillow makes of a file without a word; None where it refuses it."""
    with contextlib.suppress(OSError), Image.open(path) as image:
        return np.array(image.convert("RGB"))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", WAYS_TO_SAVE)
def test_of_a_progressive_one_every_scan_is_needed(tmp_path, mode, options):
    path = tmp_path / "a.jpg"
    content = encoded(mode, progressive=True, **options)
    path.write_bytes(content)
    whole = read_image(path)
    assert np.array_equal(whole, by_pillow(path))
    starts = scan_starts(content)
    assert len(starts) >= 6
    cuts = [cut for start, end in pairwise(starts) for cut in ((start + end) // 2, end)]
    last = scan_start(content, starts[-1])
    cuts += [last + int(kept * (len(content) - 2 - last)) for kept in (0.1, 0.5, 0.9)]
    num_silent = 0
    for cut_at in cuts:
        path.write_bytes(content[:cut_at].rstrip(b"\xff") + END)
        found = by_pillow(path)
        is_whole = found is not None and np.array_equal(found, whole)
        num_silent += found is not None and not is_whole
        if is_whole and cut_at >= last:
            continue  # black ink, of which these pictures have none
        why = "its 90 rows" if cut_at >= last else "its pixels are sharp, since scans of it"
        known = "its data ends before " + why if found is not None else "is not an image"
        with pytest.raises(FileError, match=rf"a\.jpg .*{known}"):
            read_image(path)
    assert num_silent > len(cuts) // 2


def test_of_components_one_by_one_each_is_needed(tmp_path):
    # Three grey pictures, which share tables, are the three components of one.
    path = tmp_path / "a.jpg"
    grey = encoded("L")
    frame = grey.index(b"\xff\xc0")
    head = grey[: frame + 2] + (8 + 9).to_bytes(2, "big") + grey[frame + 4 : frame + 9]
    head += bytes((3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0))
    scan = scan_starts(grey)[0]
    head += grey[frame + 13 : scan]
    scans = [
        b"\xff\xda" + bytes((0, 8, 1, name, 0, 0, 63, 0)) + grey[scan + 10 : -2]
        for name in (1, 2, 3)
    ]
    path.write_bytes(head + b"".join(scans) + END)
    assert np.array_equal(read_image(path), by_pillow(path))
    for num_scans in (1, 2):
        path.write_bytes(head + b"".join(scans[:num_scans]) + END)
        assert by_pillow(path).shape == (90, 121, 3)
        with pytest.raises(FileError, match=r"a\.jpg is damaged: .* scans of it are missing; copy"):
            read_image(path)


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
