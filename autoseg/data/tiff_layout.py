"""Where a TIFF keeps its pixels, and whether that can be.

No sum guards a TIFF, and libraries take its tags at their word: where a strip is shorter than its
rows, the bytes of the next are shown as its last ones; of too many strips Pillow shows the last in
place of the first; tifffile gives zeros for those that are missing. So the tags are held against
each other before either library reads a pixel.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from autoseg.errors import FileError, reading
from autoseg.foreign_text import printable

WIDTH, HEIGHT, PHOTOMETRIC, SAMPLES, EXTRA = 256, 257, 262, 277, 338  # tags
_BITS, _PACKING, _PLANES = 258, 259, 284
_STRIP_PLACES, _STRIP_ROWS, _STRIP_BYTES = 273, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILE_PLACES, _TILE_BYTES = 322, 323, 324, 325
_UNPACKED, _OLD_JPEG, _ONE_A_SAMPLE = 1, 6, 2  # values of tags
_MAX_TAGS, _MAX_NUMBERS, _MAX_SAMPLES = 4096, 2**24, 2**16 - 1
_READ = {WIDTH, HEIGHT, PHOTOMETRIC, SAMPLES, EXTRA, _BITS, _PACKING, _PLANES, _STRIP_PLACES}
_READ |= {_STRIP_ROWS, _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT, _TILE_PLACES, _TILE_BYTES}
_WHOLE_NUMBERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8"}  # kinds of tags, as NumPy has them
_NUM_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_NUM_BYTES |= {13: 4, 16: 8, 17: 8, 18: 8}
# Where the first page's place stands, how it is written, the number of tags, and each tag: its
# number, kind, count, and value or place.
_CLASSIC = (4, "L", "H", "HHL4s")
_BIG = (8, "Q", "Q", "HHQ8s")


@dataclass(frozen=True, kw_only=True, slots=True)
class Directory:
    """The first page of a TIFF, as its tags tell of it."""

    tags: dict[int, NDArray[np.uint64]]
    """Whole numbers of those that are asked for here, by the tag's own number."""
    taken: list[tuple[int, int]]
    """First byte and number of bytes of what is no pixels: the header, the tags, their values."""

    def one(self, tag: int, default: int) -> int:
        """Return the number that a tag holds, or the first of several."""
        return int(self.tags[tag][0]) if tag in self.tags else default


def read_directory(path: Path) -> Directory | None:
    """Read the tags of a TIFF's first page; None if the file is no TIFF, or is cut in them.

    Raises:
        OSError: If it is not there or may not be read.
    """
    with reading(path, "a TIFF"), path.open("rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        try:
            version = struct.unpack(f"{order}H", head[2:4])[0] if order else None
            if order is None or version not in (42, 43):
                return None
            # 43: BigTIFF, for files of more than 4 GiB.
            return _directory(file, head, order, *(_BIG if version == 43 else _CLASSIC))
        except struct.error:
            return None


def _directory(
    file: BinaryIO, head: bytes, order: str, start_at: int, word: str, count_as: str, entry: str
) -> Directory:
    (start,) = struct.unpack_from(f"{order}{word}", head, start_at)
    file_size = file.seek(0, 2)
    file.seek(start)
    word_size, count_size = struct.calcsize(f"<{word}"), struct.calcsize(f"<{count_as}")
    (count,) = struct.unpack(f"{order}{count_as}", file.read(count_size))
    content = file.read(min(count, _MAX_TAGS) * struct.calcsize(f"<{entry}"))
    tags = {}
    taken = [(0, start_at + word_size), (start, count_size + len(content) + word_size)]
    for tag, kind, number, value in struct.iter_unpack(f"{order}{entry}", content):
        num_bytes = _NUM_BYTES.get(kind, 0) * number
        is_read = tag in _READ - set(tags) and kind in _WHOLE_NUMBERS and number <= _MAX_NUMBERS
        if num_bytes > word_size:
            (place,) = struct.unpack(f"{order}{word}", value)
            if place + num_bytes > file_size:
                continue  # no value; more than the file is not asked of memory
            taken.append((place, num_bytes))
            if is_read:
                file.seek(place)
                value = file.read(num_bytes)
        if is_read and num_bytes:
            numbers = np.frombuffer(value[:num_bytes], order + _WHOLE_NUMBERS[kind])
            tags[tag] = numbers.astype(np.uint64)
    return Directory(tags=tags, taken=taken)


def require_possible_layout(path: Path) -> None:
    """Refuse a TIFF whose strips or tiles cannot be those of its pixels; other files are passed.

    Of each there must be as many as the picture has, each at a place of its own, and an unpacked
    one as long as its rows. What is packed may stand for several that are alike.

    Raises:
        FileError: If they cannot; it says why.
        OSError: If the file is not there or may not be read.
    """
    directory = read_directory(path)
    if directory is None or directory.one(_PACKING, _UNPACKED) == _OLD_JPEG:
        return  # the latter has its own tags for places
    with reading(path, "a TIFF that can be read"):  # tags hold what they like
        fault = _fault(directory)
    if fault:
        raise FileError(
            f"{printable(str(path))} is damaged: {fault}; copy it again, or save it anew."
        )


def _fault(directory: Directory) -> str | None:
    """Say in what a page's strips or tiles are not those of its pixels."""
    tags, one = directory.tags, directory.one
    height, width = one(HEIGHT, 0), one(WIDTH, 0)
    is_tiled = _STRIP_PLACES not in tags
    kind = "tile" if is_tiled else "strip"
    rows, columns = one(_STRIP_ROWS, height), width
    if is_tiled:
        rows, columns = one(_TILE_HEIGHT, 0), one(_TILE_WIDTH, 0)
    if min(height, width, rows, columns) == 0:
        return f"its {kind}s have no size"
    rows = rows if is_tiled else min(rows, height)
    if (samples := one(SAMPLES, 1)) > _MAX_SAMPLES:
        return f"it has {samples:,} samples a pixel"
    num_planes = samples if one(_PLANES, 1) == _ONE_A_SAMPLE else 1
    down, across = -(-height // rows), -(-width // columns)
    num_segments = num_planes * down * across
    places = tags.get(_TILE_PLACES if is_tiled else _STRIP_PLACES, np.empty(0, np.uint64))
    sizes = tags.get(_TILE_BYTES if is_tiled else _STRIP_BYTES)
    is_packed = one(_PACKING, _UNPACKED) != _UNPACKED
    is_whole = sizes is None or (len(sizes) == num_segments and sizes.all())
    if len(places) != num_segments or not places.all() or not is_whole:
        return f"its {kind}s are not those of {height} x {width} pixels"
    if is_packed:
        return None if sizes is None else _overlap(directory, kind, *_distinct(places, sizes))
    bits = np.resize(tags.get(_BITS, np.ones(1, np.uint64)), samples).astype(np.int64)
    row_bits = columns * (bits if num_planes > 1 else bits.sum(keepdims=True))
    row_bytes = np.repeat(-(-row_bits // 8), down * across)
    num_rows = np.full((num_planes, down, across), rows)
    if not is_tiled:
        num_rows[:, -1] = height - (down - 1) * rows
    needed = row_bytes * num_rows.ravel()
    return _length_fault(kind, sizes, needed, row_bytes) or _overlap(
        directory, kind, places.astype(np.int64), needed
    )


def _length_fault(
    kind: str,
    sizes: NDArray[np.uint64] | None,
    needed: NDArray[np.int64],
    row_bytes: NDArray[np.int64],
) -> str | None:
    """Say which unpacked strip or tile has too few bytes, or which tile a row too many."""
    if sizes is None:
        return None
    spare = sizes.astype(np.int64) - needed
    wrong = (spare < 0) | ((kind == "tile") & (spare >= row_bytes))  # a last strip may be padded
    if not wrong.any():
        return None
    first = int(wrong.argmax())
    return (
        f"{kind} {first + 1} of {len(sizes)} has {sizes[first]:,} bytes, where its rows take "
        f"{needed[first]:,}"
    )


def _distinct(
    places: NDArray[np.uint64], sizes: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each place once with its size: packed alike, tiles may be stored once."""
    pairs = np.unique(np.stack([places, sizes], axis=1), axis=0).astype(np.int64)
    return pairs[:, 0], pairs[:, 1]


def _overlap(
    directory: Directory, kind: str, places: NDArray[np.int64], sizes: NDArray[np.int64]
) -> str | None:
    """Say whether strips or tiles share bytes with each other, or with what is no pixels."""
    taken = np.array(directory.taken, dtype=np.int64)
    starts = np.concatenate([taken[:, 0], places])
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], (starts + np.concatenate([taken[:, 1], sizes]))[order]
    is_shared = ends[:-1] > starts[1:]
    # Values of tags may share bytes with each other.
    is_pixels = order >= len(taken)
    if (is_shared & (is_pixels[:-1] | is_pixels[1:])).any():
        return f"one of its {kind}s shares bytes with another, or with its tags"
    return None
