"""A folder as a whole: its splits, classes and channels, decided together and once."""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoseg.data.channels import read_channels, size_and_channels
from autoseg.data.folder.description import (
    DESCRIPTION_NAME,
    ClassEntry,
    Colour,
    Description,
    read_description,
)
from autoseg.data.folder.faults import all_faults
from autoseg.data.folder.guess import (
    BINARY_NAMES,
    VOID,
    GuessedClasses,
    MaskSummary,
    guess_classes,
    summarise_mask,
)
from autoseg.data.folder.layout import find_layout
from autoseg.data.folder.masks import IGNORED, MaskCodec, mask_size, packed, read_mask_file
from autoseg.data.folder.pairing import Pair
from autoseg.data.folder.splitting import Splits, divide
from autoseg.data.labels import ColourFile, default_palette
from autoseg.errors import FileError, UsageError, reading
from autoseg.foreign_text import printable
from autoseg.normalisation import Normalisation, usual_normalisation

_FileState = tuple[Path, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderCollection:
    """What all splits of a folder share."""

    root: Path
    splits: Splits
    """Pairs by split."""
    sizes: dict[Path, tuple[int, int]]
    """Height and width by image."""
    class_names: tuple[str, ...]
    palette: NDArray[np.uint8]
    """(K, 3)."""
    codec: MaskCodec
    normalisation: Normalisation
    attribution: str
    notes: tuple[str, ...]
    """What was found and guessed, in sentences."""


def read_folder(root: Path, description_path: Path | None = None) -> FolderCollection:
    """Find everything that a folder's files say, and what its description says beside.

    Masks are read only where no description names their classes; of images the headers are read.

    Args:
        root: The folder.
        description_path: Its dataset.toml; None for the one that lies in it, if any.

    Raises:
        UsageError: If the folder has no known layout, or its masks leave the classes open.
        FileError: If a file is damaged or does not fit; the message names it.
        OSError: If a file is not there or may not be read.
    """
    description = find_description(root, description_path)
    settings = description.settings
    layout = find_layout(root, images=settings.images, masks=settings.masks)
    splits, split_notes = divide(layout, description)
    pairs = [pair for split in splits.values() for pair in split]
    sizes, num_channels = _check_pairs(pairs, settings.channels)
    codec, entries, class_notes = settle_classes(description, [pair.mask for pair in pairs])
    if settings.mean is not None and settings.std is not None:
        normalisation = Normalisation(mean=settings.mean, std=settings.std)
        if normalisation.num_channels != num_channels:
            raise FileError(
                f"{printable(str(description.path))}: mean and std have "
                f"{normalisation.num_channels} value(s), but the images have {num_channels} "
                "channel(s)."
            )
    else:
        normalisation = usual_normalisation(num_channels)
    counts = ", ".join(f"{len(split)} {name}" for name, split in splits.items())
    kind = {1: "grey", 3: "RGB"}.get(num_channels, f"{num_channels} channels")
    return FolderCollection(
        root=root,
        splits=splits,
        sizes=sizes,
        class_names=tuple(entry.name for entry in entries),
        palette=colours_of_entries(entries),
        codec=codec,
        normalisation=normalisation,
        attribution=settings.attribution,
        notes=(
            f"{layout.description}: {counts}; images are {kind}",
            *layout.notes,
            *split_notes,
            *class_notes,
        ),
    )


def require_pairs(root: Path, description_path: Path | None) -> None:
    """Decode all images and masks of a folder, of which `read_folder` reads headers for the most.

    Args:
        root: The folder.
        description_path: Its dataset.toml; None for the one that lies in it, if any.

    Raises:
        UsageError: If the folder has no known layout.
        FileError: If a file is damaged, or an image and its mask differ in size; all are named.
    """
    description = find_description(root, description_path)
    settings = description.settings
    layout = find_layout(root, images=settings.images, masks=settings.masks)
    splits, _ = divide(layout, description)
    with all_faults() as each:
        for pair in (pair for split in splits.values() for pair in split):
            sizes = []
            with each:
                size, channels = size_and_channels(pair.image)
                read_channels(pair.image, channels)
                sizes.append(size)
            with each:
                read_mask_file(pair.mask)
                sizes.append(mask_size(pair.mask))
            if len(sizes) == 2:
                with each:
                    _require_equal(pair.image, sizes[0], pair.mask, sizes[1])


def find_description(root: Path, path: Path | None) -> Description:
    """Read the description that was named, else the folder's own, else return the defaults."""
    if path is not None:
        return read_description(path)
    inside = root / DESCRIPTION_NAME
    return read_description(inside) if inside.is_file() else Description()


def _check_pairs(
    pairs: Sequence[Pair], num_channels: int | None
) -> tuple[dict[Path, tuple[int, int]], int]:
    """Compare the sizes of images and masks, and settle the channels; headers alone are read."""
    sizes: dict[Path, tuple[int, int]] = {}
    found: dict[int, Path] = {}
    headers = _headers(tuple((_state(pair.image), _state(pair.mask)) for pair in pairs))
    for pair, (size, channels) in zip(pairs, headers, strict=True):
        sizes[pair.image] = size
        found.setdefault(channels, pair.image)
    if num_channels is None:
        if set(found) - {1, 3} and len(found) > 1:
            first, second = list(found.items())[:2]
            raise FileError(
                f"{printable(str(first[1]))} has {first[0]} channel(s) and "
                f"{printable(str(second[1]))} {second[0]}; all images must have as many."
            )
        num_channels = max(found)
    return sizes, num_channels


@functools.lru_cache(maxsize=2)  # each split asks for the headers of all
def _headers(
    states: tuple[tuple[_FileState, _FileState], ...],
) -> tuple[tuple[tuple[int, int], int], ...]:
    """Read height, width and channels of images, whose masks must be as large."""
    found = []
    with all_faults() as each:
        for (image, *_), (mask, *_) in states:
            with each:
                size, channels = size_and_channels(image)
                _require_equal(image, size, mask, mask_size(mask))
                found.append((size, channels))
    return tuple(found)


def _require_equal(image: Path, size: tuple[int, int], mask: Path, other: tuple[int, int]) -> None:
    if size != other:
        raise FileError(
            f"{printable(str(image))} is {size[0]} x {size[1]} (height x width), but its mask "
            f"{printable(str(mask))} is {other[0]} x {other[1]}; they must be equal. Resize masks "
            "by nearest neighbour only."
        )


def settle_classes(
    description: Description, masks: Sequence[Path]
) -> tuple[MaskCodec, tuple[ClassEntry, ...], tuple[str, ...]]:
    """Settle which values of the masks are which class; return that, the classes, and notes.

    Raises:
        UsageError: If the masks leave the classes open.
        FileError: If a mask is damaged, or the description does not fit the first one.
    """
    entries = description.classes
    if not entries:
        guessed = guess_classes(summarise_masks(masks))
        if description.ignore_values is not None or description.ignore_colours is not None:
            guessed = _without_ignored(guessed, description)
        ignored = guessed.ignore_values if description.ignore_values is None else ()
        codec = _codec(
            guessed.entries,
            by_colour=guessed.by_colour,
            ignored=[*ignored, *_ignored(description, by_colour=guessed.by_colour)],
        )
        return codec, guessed.entries, guessed.notes
    by_colour = not any(entry.values for entry in entries) and _shows_colours(
        masks[0], has_colours=any(entry.colours for entry in entries)
    )
    ignored = _ignored(description, by_colour=by_colour)
    if len(entries) == 1:
        background = ClassEntry(name=BINARY_NAMES[0], colours=((0, 0, 0),))
        codec = _codec(entries, by_colour=by_colour, ignored=ignored, other=0, first=1)
        return codec, (background, *entries), ()
    if by_colour and not entries[0].colours:
        raise FileError(
            f"{printable(str(description.path))}: the masks hold colours, as "
            f"{printable(str(masks[0]))}; give each class its colour."
        )
    notes: tuple[str, ...] = ()
    if not by_colour and description.ignore_values is None:
        numbers = {number for entry in entries for number in entry.values}
        if VOID not in numbers and len(entries) <= VOID:
            ignored = [VOID]
            notes = (f"{VOID} in masks means no class (ignore_value = [] refuses it)",)
    return _codec(entries, by_colour=by_colour, ignored=ignored), entries, notes


def _shows_colours(mask: Path, *, has_colours: bool) -> bool:
    """Tell whether classes are to be told by colour: also by a palette's, if there are any."""
    file = read_mask_file(mask)
    return isinstance(file, ColourFile) or (has_colours and file.palette is not None)


def _without_ignored(guessed: GuessedClasses, description: Description) -> GuessedClasses:
    """Take what the description ignores out of the classes that were found."""
    values, colours = set(description.ignore_values or ()), set(description.ignore_colours or ())
    entries = tuple(
        entry
        for entry in guessed.entries
        if not values.intersection(entry.values) and not colours.intersection(entry.colours)
    )
    if len(entries) < 2:
        raise UsageError(
            f"folder: the masks hold {len(entries)} class(es) beside what "
            f"{printable(str(description.path))} ignores; two are needed."
        )
    return GuessedClasses(by_colour=guessed.by_colour, entries=entries, notes=guessed.notes)


def _ignored(description: Description, *, by_colour: bool) -> list[int]:
    if by_colour:
        return [packed(colour) for colour in description.ignore_colours or ()]
    return list(description.ignore_values or ())


def _codec(
    entries: Sequence[ClassEntry],
    *,
    by_colour: bool,
    ignored: Iterable[int],
    other: int | None = None,
    first: int = 0,
) -> MaskCodec:
    table: dict[int, int] = dict.fromkeys(ignored, IGNORED)
    for number, entry in enumerate(entries, start=first):
        if by_colour:
            values: Iterable[int] = map(packed, entry.colours)
        else:
            values = entry.values or (number,)
        table.update(dict.fromkeys(values, number))
    return MaskCodec(by_colour=by_colour, table=tuple(sorted(table.items())), other=other)


def colours_of_entries(entries: Sequence[ClassEntry]) -> NDArray[np.uint8]:
    """Give each class its own colour: that of its entry, else of VOC's palette as far as free."""
    taken = {entry.colours[0] for entry in entries if entry.colours}
    if len(taken) < sum(bool(entry.colours) for entry in entries):  # a palette of one colour
        entries, taken = [ClassEntry(name=entry.name) for entry in entries], set()
    usual = default_palette(2 * len(entries) + 1).tolist()
    free = (colour for colour in map(_colour, usual) if colour not in taken)
    chosen = [entry.colours[0] if entry.colours else next(free) for entry in entries]
    return np.array(chosen, dtype=np.uint8)


def _colour(parts: Sequence[int]) -> Colour:
    red, green, blue = parts
    return red, green, blue


def summarise_masks(masks: Sequence[Path]) -> tuple[MaskSummary, ...]:
    """Count the values of masks; those that have not changed since are not read again."""
    return _summarise(tuple(_state(path) for path in masks))


@functools.lru_cache(maxsize=2)
def _summarise(states: tuple[_FileState, ...]) -> tuple[MaskSummary, ...]:
    found = []
    with all_faults() as each:
        for path, _, _ in states:
            with each:
                found.append(summarise_mask(path))
    return tuple(found)


def _state(path: Path) -> _FileState:
    """Tell whether a file has changed since it was read."""
    with reading(path, "a file"):
        state = path.stat()
    return path, state.st_size, state.st_mtime_ns
