"""From what a mask file holds, numbers or colours, to the classes of its pixels, and back."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoseg.data.arrays import ARRAY_SUFFIXES, array_shape, map_array, read_array
from autoseg.data.images import image_size
from autoseg.data.labels import ColourFile, LabelFile, read_mask
from autoseg.data.tiff_regions import open_tiff_regions
from autoseg.errors import FileError
from autoseg.foreign_text import printable

IGNORED = -1
"""Number of a pixel without a class."""

_UNKNOWN = -2
_MAX_TABLE = 2**16  # values of 16 bits; colours have 24

WHITE_BIT = 255
"""What the 1 of a black and white file means where masks of 8 bits say 255."""

Values = NDArray[np.int64]
"""Numbers of a mask, or colours as 0xRRGGBB, (H, W)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskCodec:
    """Which number or colour of a mask is which class."""

    by_colour: bool
    """Whether masks hold colours, not numbers."""
    table: tuple[tuple[int, int], ...]
    """Pairs of a value and its class, ascending; the class `IGNORED` is none."""
    other: int | None = None
    """Class of every other value; None refuses it."""
    remedy: str = ""
    """What to do about a file that holds something else; empty speaks of dataset.toml."""

    def decode(self, path: Path, *, ignore_index: int) -> NDArray[np.int32]:
        """Read the class of each pixel of a mask.

        Args:
            path: The file.
            ignore_index: What stands for a pixel without a class.

        Returns:
            (H, W), classes or `ignore_index`.

        Raises:
            FileError: If a value is neither a class nor ignored, with its place, or the file
                cannot be read as a mask.
            OSError: If it is not there or may not be read.
        """
        return self.classes_in(read_mask_file(path), path, ignore_index=ignore_index)

    def decode_part(
        self, path: Path, rows: slice, columns: slice, *, ignore_index: int
    ) -> NDArray[np.int32]:
        """Read the class of each pixel of rows and columns, each with both ends.

        No more is read of a mask of which `allows_parts` is true. Errors are those of `decode`.
        """
        if path.suffix.lower() == ".npy":
            array = map_array(path, check_shape=lambda shape: _require_plane(path, shape))
            labels = _whole_numbers(path, array[rows, columns])
        else:
            with open_tiff_regions(path) as tiff:
                assert tiff is not None
                labels = tiff.read(rows, columns)[0].astype(np.int64)
        part = LabelFile(labels=labels, palette=None, mode="array")
        origin = rows.start, columns.start
        return self.classes_in(part, path, ignore_index=ignore_index, origin=origin)

    def classes_in(
        self,
        file: LabelFile | ColourFile,
        path: Path,
        *,
        ignore_index: int,
        origin: tuple[int, int] = (0, 0),
    ) -> NDArray[np.int32]:
        """Do what `decode` does with a mask that was read already, or with a part of one.

        Args:
            file: What was read.
            path: Its file, for messages.
            ignore_index: What stands for a pixel without a class.
            origin: Row and column in the mask of the part's first pixel.
        """
        keys = np.array([value for value, _ in self.table], dtype=np.int64)
        classes = np.array([number for _, number in self.table], dtype=np.int32)
        classes[classes == IGNORED] = ignore_index
        values = self._values(file, path, keys)
        found = _look_up(values, keys, classes)
        is_known = found != _UNKNOWN
        if is_known.all():
            return found
        if self.other is None:
            row, column = np.argwhere(~is_known)[0]
            value, place = int(values[row, column]), (origin[0] + row, origin[1] + column)
            raise FileError(self._complaint(path, value, *place))
        other = ignore_index if self.other == IGNORED else self.other
        return np.where(is_known, found, np.int32(other))

    def lines(self) -> Iterator[str]:
        """Give what decides the classes, for a fingerprint."""
        yield f"masks by {'colour' if self.by_colour else 'number'}, others {self.other}"
        yield " ".join(f"{value}:{number}" for value, number in self.table)

    def _values(self, file: LabelFile | ColourFile, path: Path, keys: NDArray[np.int64]) -> Values:
        if self.by_colour:
            return colours_of(file)
        values = numbers_of(file)
        if values is None:
            remedy = self.remedy or (
                "save it as numbers in one channel, or give each class its colour (and no value) "
                "in dataset.toml."
            )
            raise FileError(
                f"{printable(str(path))} holds colours, where the other masks hold class numbers; "
                f"{remedy}"
            )
        is_bit = isinstance(file, LabelFile) and file.mode == "1"
        return values * WHITE_BIT if is_bit and WHITE_BIT in keys and 1 not in keys else values

    def _complaint(self, path: Path, value: int, row: int, column: int) -> str:
        known = [shown_value(key, by_colour=self.by_colour) for key, _ in self.table]
        more = f", ... ({len(known)} in all)" if len(known) > 8 else ""
        what = "colour" if self.by_colour else "value"
        remedy = self.remedy or f"add it to dataset.toml, as a class or as ignore_{what}."
        return (
            f"{printable(str(path))}: the {what} {shown_value(value, by_colour=self.by_colour)} at "
            f"row {row}, column {column} is no class; known are {', '.join(known[:8])}{more}. "
            f"{remedy[0].upper()}{remedy[1:]}"
        )


def _look_up(
    values: Values, keys: NDArray[np.int64], classes: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Give the class at each value's place among the ascending keys, or `_UNKNOWN`."""
    highest = int(values.max(initial=0))
    # A table is five times as fast as a search.
    if highest < _MAX_TABLE and values.min(initial=0) >= 0:
        table = np.full(highest + 1, _UNKNOWN, dtype=np.int32)
        is_in = (keys >= 0) & (keys <= highest)  # a negative key would count from the end
        table[keys[is_in]] = classes[is_in]
        return table[values]
    places = np.searchsorted(keys, values).clip(max=len(keys) - 1)
    return np.where(keys[places] == values, classes[places], np.int32(_UNKNOWN))


def read_mask_file(path: Path) -> LabelFile | ColourFile:
    """Read a mask: an image by the rules of label images, or an array (H, W) of whole numbers."""
    if path.suffix.lower() not in ARRAY_SUFFIXES:
        return read_mask(path)
    array = read_array(path, check_shape=lambda shape: _require_plane(path, shape))
    return LabelFile(labels=_whole_numbers(path, array), palette=None, mode="array")


def allows_parts(path: Path) -> bool:
    """Tell whether `MaskCodec.decode_part` reads a mask: a .npy, or a plain TIFF of one channel."""
    if path.suffix.lower() == ".npy":
        return True
    with open_tiff_regions(path) as tiff:
        return tiff is not None and tiff.num_channels == 1


def _whole_numbers(path: Path, array: NDArray[np.number]) -> Values:
    if array.dtype.kind not in "iub":
        raise FileError(f"{printable(str(path))} is {array.dtype}; masks are whole numbers.")
    labels = array.astype(np.int64)
    if labels.size and labels.min() < 0:
        raise FileError(
            f"{printable(str(path))} holds {labels.min()}; class numbers are not negative."
        )
    return labels


def mask_size(path: Path) -> tuple[int, int]:
    """Read a mask's height and width, from its header alone."""
    if path.suffix.lower() not in ARRAY_SUFFIXES:
        return image_size(path)
    shape = array_shape(path)
    _require_plane(path, shape)
    return shape[0], shape[1]


def _require_plane(path: Path, shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or 0 in shape:
        raise FileError(
            f"{printable(str(path))} has shape {shape}; a mask is (H, W), a class number a pixel."
        )


def numbers_of(file: LabelFile | ColourFile) -> Values | None:
    """Return a mask's numbers; those of a grey picture saved as RGB; None for one in colours."""
    if isinstance(file, LabelFile):
        return file.labels
    red, green, blue = (file.colours[:, :, channel] for channel in range(3))
    is_grey = np.array_equal(red, green) and np.array_equal(green, blue)
    return red.astype(np.int64) if is_grey else None


def colours_of(file: LabelFile | ColourFile) -> Values:
    """Return a mask's colours as 0xRRGGBB: of numbers those of the palette, or grey."""
    if isinstance(file, ColourFile):
        colours = file.colours.astype(np.int64)
    elif file.palette is not None:
        colours = file.palette[file.labels].astype(np.int64)
    else:
        grey = file.labels * WHITE_BIT if file.mode == "1" else file.labels
        colours = np.repeat(grey[:, :, None], 3, axis=2)
    return (colours[:, :, 0] << 16) | (colours[:, :, 1] << 8) | colours[:, :, 2]


def packed(colour: tuple[int, int, int]) -> int:
    """Write a colour as one number, 0xRRGGBB."""
    red, green, blue = colour
    return red << 16 | green << 8 | blue


def unpacked(value: int) -> tuple[int, int, int]:
    """Return the colour of `packed`."""
    return value >> 16, (value >> 8) & 255, value & 255


def shown_value(value: int, *, by_colour: bool) -> str:
    """Write a value of a mask for a person."""
    return str(unpacked(value)) if by_colour else str(value)
