"""Whether the data of a JPEG ends before its pixels do, or before they are as sharp as they were.

libjpeg fills what is missing before an end mark with grey, and its warning does not reach Python.
But a decoder that has all pixels passes over what stands between them and the end mark, and one
that has not takes it for pixels: so a JPEG is decoded once more with more data there. It is done
where the last block is as grey as one that is missing, which of whole photographs hardly any is.

A progressive JPEG sends its pixels coarse first, and then, scan by scan, what makes them sharp. It
is taken as whole when every coefficient of every component was sent to its last bit, as encoders do
by themselves. ITU T.81 lets one end before, but such a file cannot be told from one that was cut,
since no header counts its scans. A cut within the last scan is found as that of any other JPEG is;
it shows in no colour, so that a progressive one is decoded once more whatever it ends in.
"""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

_BLOCK, _GREY, _ROUNDING = 8, 128, 2
_END, _SCAN = 0xD9, 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the others are tables, and reserved
_NUM_COEFFICIENTS = 64
# Of a part with a length, or of the end: no stuffed 255, no restart.
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
# Each mark of a restart with data behind it: one of them is what a decoder waits for.
_MORE = b"".join(
    bytes((number * 101 + restart * 37 + 13) % 254 + 1 for number in range(64))
    + bytes((0xFF, 0xD0 + restart))
    for restart in range(8)
)


def ends_early(image: Image.Image, path: Path) -> bool:
    """Tell whether blocks at the end of a decoded JPEG are missing from its file, or its last scan.

    Args:
        image: What Pillow has decoded.
        path: The file.
    """
    if not image.info.get("progressive") and not _ends_in_grey(image):
        return False
    content = path.read_bytes()
    end = _end_mark(content)
    if end is None:
        return False
    with Image.open(BytesIO(content[:end] + _MORE + content[end:]), formats=["JPEG"]) as longer:
        return longer.tobytes() != image.tobytes()


def lacks_scans(path: Path) -> bool:
    """Tell whether a JPEG ends before each component was sent, and to the last bit.

    Args:
        path: The file, of which Pillow has decoded what there is.
    """
    missing: set[tuple[int, int]] = set()
    for mark, _, segment in _segments(path.read_bytes()):
        if mark in _FRAMES:
            components = segment[6 : 6 + 3 * segment[5] : 3]
            missing = {(each, number) for each in components for number in range(_NUM_COEFFICIENTS)}
        elif mark == _SCAN:
            # Of each component its name and tables; then the first and last coefficient, and the
            # last bits that were sent before and that are sent now.
            first, last, bits = segment[1 + 2 * segment[0] :][:3]
            if bits & 15 == 0:
                components = segment[1 : 1 + 2 * segment[0] : 2]
                missing -= {(each, n) for each in components for n in range(first, last + 1)}
            if not missing:
                return False
    return True


def _ends_in_grey(image: Image.Image) -> bool:
    width, height = image.size
    left, upper = (width - 1) // _BLOCK * _BLOCK, (height - 1) // _BLOCK * _BLOCK
    block = image.crop((left, upper, width, height))
    # Colours may have come from the blocks beside it.
    values = np.asarray(block.convert("L") if block.mode == "RGB" else block).astype(np.int64)
    return bool(np.abs(values - _GREY).max() <= _ROUNDING)


def _end_mark(content: bytes) -> int | None:
    """Find where the first picture of a file ends; others may follow, and stand in its parts."""
    return next((place for mark, place, _ in _segments(content) if mark == _END), None)


def _segments(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Give the marks of a file's first picture, to its end: where each stands, what belongs to it.

    What was encoded of the pixels stands behind the segment of a scan, and is passed over.
    """
    place = 2
    while found := _MARKER.search(content, place):
        mark, start = content[found.start() + 1], found.end()
        place = start + int.from_bytes(content[start : start + 2], "big")
        yield mark, found.start(), content[start + 2 : place]
        if mark == _END:
            return
