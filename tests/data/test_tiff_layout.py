"""TIFFs whose tags are damaged show their own pixels or are refused; whole ones are not."""

import itertools
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from autoseg.data.channels import allows_regions, open_regions, read_channels
from autoseg.data.labels import ColourFile, read_mask
from autoseg.data.tiff_layout import require_possible_layout
from autoseg.errors import FileError

SIZE = (42, 50)
SEGMENT = {False: (5, 50), True: (32, 32)}  # of a strip, of a tile
COLOURS = np.random.default_rng(0).integers(1, 256, size=(*SIZE, 3), dtype=np.uint8)


def write(path, pixels, *, tiled=False, planar=False, packed=False, photometric=2, change=None):
    """Write a TIFF without the libraries that read it; `change` is done to its tags before."""
    height, width, channels = pixels.shape
    rows, columns = SEGMENT[tiled]
    planes = [pixels[:, :, [channel]] for channel in range(channels)] if planar else [pixels]
    parts = []
    for plane, y, x in itertools.product(planes, range(0, height, rows), range(0, width, columns)):
        part = plane[y : y + rows, x : x + columns]
        if tiled:  # padded
            part = np.pad(part, ((0, rows - len(part)), (0, columns - part.shape[1]), (0, 0)))
        parts.append(zlib.compress(part.tobytes()) if packed else part.tobytes())
    starts = np.cumsum([8, *(len(part) for part in parts)]).tolist()
    tags = {
        256: [width],
        257: [height],
        258: [8] * channels,
        259: [8 if packed else 1],
        262: [photometric],
        277: [channels],
        284: [2 if planar else 1],
        **({322: [columns], 323: [rows]} if tiled else {278: [rows]}),
        324 if tiled else 273: starts[:-1],
        325 if tiled else 279: [len(part) for part in parts],
        338: [0] * (channels - 3),
    }
    if change is not None:
        change(tags)
    tags = {tag: tags[tag] for tag in sorted(tags) if tags[tag]}
    place = starts[-1] + 2 + 12 * len(tags) + 4
    entries, behind = b"", b""
    for tag, values in tags.items():
        content = np.array(values).astype("<u4").tobytes()
        if len(values) > 1:
            content, behind = struct.pack("<L", place + len(behind)), behind + content
        entries += struct.pack("<HHL", tag, 4, len(values)) + content
    head = struct.pack("<2sHL", b"II", 42, starts[-1])
    count = struct.pack("<H", len(tags))
    path.write_bytes(head + b"".join(parts) + count + entries + bytes(4) + behind)
    return path


def changes(tiled, packed):
    """Name the damages, each of which moves pixels or takes them from elsewhere."""
    places, sizes = (324, 325) if tiled else (273, 279)

    def put(tag, index, value):
        def change(tags):
            tags[tag][index] = value(tags[tag][index]) if callable(value) else value

        return change

    for index in (0, 1, -1):
        for value in (0, 1, lambda size: size - 1):
            yield f"size {index}", put(sizes, index, value)
        yield f"no place {index}", put(places, index, 0)
        yield f"in the header {index}", put(places, index, 4)
        for shift in (-20, 2, 20):
            yield f"place {index} {shift:+}", put(places, index, lambda old, by=shift: old + by)
    if not packed:
        yield "twice", lambda tags: put(places, 1, tags[places][0])(tags)
        yield "too tall", put(257, 0, lambda height: height + (1 if not tiled else 32))
        yield "the last first", put(257, 0, SEGMENT[tiled][0])
        if tiled:
            yield "tile a row too short", put(323, 0, lambda rows: rows - 1)
    if not (tiled and packed):  # of those nobody knows what they hold
        for more in (-3, 3, 48):
            yield f"rows {more:+}", put(323 if tiled else 278, 0, lambda rows, by=more: rows + by)
    yield "one too few", lambda tags: (tags[places].pop(), tags[sizes].pop())
    yield "one too many", lambda tags: (tags[places].append(9), tags[sizes].append(9))
    yield "sizes cut", lambda tags: tags[sizes].pop()
    yield "no samples", lambda tags: tags.__setitem__(277, [2**32 - 1])


def read_part(path):
    if not allows_regions(path, 3):  # it is read whole, then
        return read_channels(path, 3)
    with open_regions(path, 3) as regions:
        return regions.read(slice(0, 42), slice(0, 50))


def read_colours(path):
    mask = read_mask(path)
    assert isinstance(mask, ColourFile)
    return mask.colours


READERS = (
    (lambda path: read_channels(path, 3), COLOURS.transpose(2, 0, 1)),
    (read_part, COLOURS.transpose(2, 0, 1)),
    (read_colours, COLOURS),
)


@pytest.mark.parametrize("packed", [False, pytest.param(True, marks=pytest.mark.nightly)])
@pytest.mark.parametrize(
    ("tiled", "planar"),
    [
        (False, False),
        (True, True),
        pytest.param(False, True, marks=pytest.mark.nightly),
        pytest.param(True, False, marks=pytest.mark.nightly),
    ],
)
def test_what_is_read_of_a_damaged_file_is_its_own_pixels(tmp_path, tiled, planar, packed):
    kind = {"tiled": tiled, "planar": planar, "packed": packed}
    path = write(tmp_path / "a.tif", COLOURS, **kind)
    for read, expected in READERS:
        np.testing.assert_array_equal(read(path), expected)
    for name, change in changes(tiled, packed):
        write(path, COLOURS, **kind, change=change)
        for read, expected in READERS:
            try:
                pixels = read(path)
            except FileError as error:
                assert str(error).startswith(str(path)), name
            else:
                assert np.array_equal(pixels, expected), name


@pytest.mark.parametrize(("tiled", "planar"), [(False, True), (True, False)])
def test_channels_beyond_a_pictures_too(tmp_path, tiled, planar):
    pytest.importorskip("tifffile")
    pixels = np.concatenate([COLOURS, COLOURS[::-1, :, :2]], axis=2)
    kind = {"tiled": tiled, "planar": planar, "photometric": 1}
    path = write(tmp_path / "a.tif", pixels, **kind)
    np.testing.assert_array_equal(read_channels(path, 5), pixels.transpose(2, 0, 1))
    sizes = 325 if tiled else 279
    for name, change in [
        *changes(tiled, False),
        ("no sizes", lambda tags: tags.__setitem__(sizes, [])),
    ]:
        write(path, pixels, **kind, change=change)
        with pytest.raises(FileError, match=r"a\.tif "):
            read_channels(path, 5)
            pytest.fail(name)


def shorten_first(tags):
    tags[279][0] -= 50


def move_second(tags):
    tags[273][1] -= 50


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (shorten_first, r"strip 1 of 9 has 700 bytes, where its rows take 750; copy it again"),
        (move_second, r"one of its strips shares bytes with another, or with its tags; copy"),
        (lambda tags: tags[273].pop(), r"its strips are not those of 42 x 50 pixels; copy"),
        (lambda tags: tags[278].__setitem__(0, 0), r"its strips have no size; copy it again"),
    ],
)
def test_the_reason_is_told(tmp_path, change, reason):
    path = write(tmp_path / "a.tif", COLOURS, change=change)
    for read, _ in READERS:
        with pytest.raises(FileError, match=rf"a\.tif is damaged: {reason}"):
            read(path)


def test_packed_tiles_that_are_alike_may_be_one(tmp_path):
    def share(tags):
        for tag in (324, 325):
            tags[tag][1] = tags[tag][0]

    path = write(tmp_path / "a.tif", np.full_like(COLOURS, 7), tiled=True, packed=True)
    write(path, np.full_like(COLOURS, 7), tiled=True, packed=True, change=share)
    assert read_channels(path, 3)[0, 0, 49] == 7


@pytest.mark.parametrize(
    ("bits", "shape"), [("u1", (25, 40, 3)), ("u2", (5, 25, 40)), ("?", (25, 41)), ("u1", (1, 1))]
)
def test_no_whole_file_of_another_library_is_refused(tmp_path, shape, bits):
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "a.tif"
    num_written = 0
    for segments, packing, is_big, order in itertools.product(
        ({"tile": (16, 32)}, {"rowsperstrip": 7}, {}), (None, "zlib"), (False, True), "<>"
    ):
        options = {**segments, "compression": packing, "bigtiff": is_big, "byteorder": order}
        if len(shape) == 3:
            options["planarconfig"] = "contig" if shape[2] == 3 else "separate"
        try:
            tifffile.imwrite(path, np.ones(shape, bits), photometric="minisblack", **options)
        except (ValueError, NotImplementedError):  # of bits: tiles, and those that are packed
            continue
        num_written += 1
        require_possible_layout(path)
    assert num_written >= 4


@pytest.mark.parametrize("mode", ["RGB", "YCbCr", "I;16", "1"])
def test_no_whole_file_of_pillows_is_refused(tmp_path, mode):
    path = tmp_path / "a.tif"
    num_written = 0
    for packing, rows in itertools.product(
        (None, "tiff_lzw", "packbits", "jpeg", "group4", "lzma"), (None, 3)
    ):
        tags = {700: b"x" * 99, **({} if rows is None else {278: rows})}
        try:
            Image.new(mode, (33, 21)).save(path, compression=packing, tiffinfo=tags)
        except (OSError, RuntimeError, KeyError):  # these pixels cannot be packed so
            continue
        num_written += 1
        require_possible_layout(path)
    assert num_written >= 4
