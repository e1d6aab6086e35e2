"""Whether the data of a JPEG ends before its pixels do.

libjpeg fills what is missing before an end mark with grey, and its warning does not reach Python.
But a decoder that has all pixels passes over what stands between them and the end mark, and one
that has not takes it for pixels: so a JPEG is decoded once more with more data there. It is done
where the last block is as grey as one that is missing, which of whole photographs hardly any is.
"""

import re
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

_BLOCK, _GREY, _ROUNDING = 8, 128, 2
_END = 0xD9
# Of a part with a length, or of the end: no stuffed 255, no restart.
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
# Each mark of a restart with data behind it: one of them is what a decoder waits for.
_MORE = b"".join(
    bytes((number * 101 + restart * 37 + 13) % 254 + 1 for number in range(64))
    + bytes((0xFF, 0xD0 + restart))
    for restart in range(8)
)


def ends_early(image: Image.Image, path: Path) -> bool:
    """Tell whether blocks at the end of a decoded JPEG are missing from its file.

    Of a progressive one, only those are seen that not even the first scan has.

    Args:
        image: What Pillow has decoded.
        path: The file.
    """
    if not _ends_in_grey(image):
        return False
    content = path.read_bytes()
    end = _end_mark(content)
    if end is None:
        return False
    with Image.open(BytesIO(content[:end] + _MORE + content[end:]), formats=["JPEG"]) as longer:
        return longer.tobytes() != image.tobytes()


def _ends_in_grey(image: Image.Image) -> bool:
    width, height = image.size
    left, upper = (width - 1) // _BLOCK * _BLOCK, (height - 1) // _BLOCK * _BLOCK
    block = image.crop((left, upper, width, height))
    # Colours may have come from the blocks beside it.
    values = np.asarray(block.convert("L") if block.mode == "RGB" else block).astype(np.int64)
    return bool(np.abs(values - _GREY).max() <= _ROUNDING)


def _end_mark(content: bytes) -> int | None:
    """Find where the first picture of a file ends; others may follow, and stand in its parts."""
    place = 2
    while found := _MARKER.search(content, place):
        if content[found.start() + 1] == _END:
            return found.start()
        place = found.end() + int.from_bytes(content[found.end() : found.end() + 2], "big")
    return None
