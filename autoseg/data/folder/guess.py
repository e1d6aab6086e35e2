"""Find the classes of masks that no description names, from every mask that there is."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoseg.data.folder.description import MAX_CLASSES, ClassEntry, Colour
from autoseg.data.folder.masks import (
    WHITE_BIT,
    colours_of,
    numbers_of,
    read_mask_file,
    shown_value,
    unpacked,
)
from autoseg.data.labels import LabelFile
from autoseg.errors import FileError, UsageError
from autoseg.foreign_text import printable

BINARY_NAMES = ("background", "foreground")
"""Classes of a mask of two numbers."""

VOID = 255
"""What PASCAL VOC and most others mark pixels without a class by."""

_MAX_COLOURS = 256  # as many as a palette; photographs and blurred borders have more
_STRETCHED = 16  # numbers that are spread over 0 to 255 lie at least so far apart
_REMEDY = (
    "Write a dataset.toml that says which value is which class; "
    "`python -m autoseg.data init DIR` writes one to begin with."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskSummary:
    """What occurs in one mask."""

    path: Path
    numbers: dict[int, int] | None
    """Pixels by number; None for a mask in colours."""
    colours: dict[int, int] | None
    """Pixels by colour, 0xRRGGBB; None for a mask of numbers alone, without colours of its own."""
    palette: NDArray[np.uint8] | None
    """Colours of a palette file, (256, 3)."""
    is_bits: bool
    """Whether the file is of 1 bit, black and white."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuessedClasses:
    """Classes that were found, in the form in which a description gives them."""

    by_colour: bool
    entries: tuple[ClassEntry, ...]
    ignore_values: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    """What was guessed, in sentences."""


def summarise_mask(path: Path) -> MaskSummary:
    """Count the values of a mask.

    Raises:
        FileError: If it cannot be read as a mask, or has more colours than masks have.
        OSError: If it is not there or may not be read.
    """
    file = read_mask_file(path)
    numbers = numbers_of(file)
    is_label = isinstance(file, LabelFile)
    colours = None if is_label else _counts(colours_of(file))
    if numbers is None and colours is not None and len(colours) > _MAX_COLOURS:
        raise FileError(
            f"{printable(str(path))} has {len(colours):,} colours, more than {_MAX_COLOURS}: it is "
            "a photograph, or its borders were blurred by resizing or by a JPEG; save masks "
            "without either, from the original."
        )
    return MaskSummary(
        path=path,
        numbers=None if numbers is None else _counts(numbers),
        colours=colours,
        palette=file.palette if is_label else None,
        is_bits=is_label and file.mode == "1",
    )


def guess_classes(masks: Sequence[MaskSummary], *, is_proposal: bool = False) -> GuessedClasses:
    """Find the classes of masks.

    - Masks in colours: each colour is a class, named by it.
    - Numbers: each number that occurs is a class. 255 is ignored where it is the highest and at
      least two others occur, unless these are spread as far as brightness is.
    - Two numbers: background and foreground.

    Args:
        masks: What occurs in each.
        is_proposal: Whether a person will look at the result, so that 255 may be either.

    Raises:
        UsageError: If the masks show no two classes, too many, or values that may mean either.
    """
    in_colours = [mask for mask in masks if mask.numbers is None]
    if in_colours:
        return _from_colours(masks, in_colours[0])
    counts = Counter[int]()
    for mask in masks:
        if not mask.is_bits:
            counts.update(mask.numbers or {})
    is_white = WHITE_BIT in counts and 1 not in counts
    for mask in masks:
        if mask.is_bits:
            bits = mask.numbers or {}
            counts.update({v * WHITE_BIT if is_white else v: n for v, n in bits.items()})
    return _from_numbers(sorted(counts), masks, is_proposal=is_proposal)


def _from_numbers(
    values: list[int], masks: Sequence[MaskSummary], *, is_proposal: bool
) -> GuessedClasses:
    others = [value for value in values if value != VOID]
    ignored: tuple[int, ...] = ()
    if values and values[-1] == VOID and len(others) >= 2:
        is_spread = min(high - low for low, high in pairwise(values)) >= _STRETCHED
        if is_spread and not is_proposal:
            raise UsageError(
                f"folder: the masks hold the numbers {_listed(values)}, spread like brightness, so "
                f"that {VOID} may be a class or mark pixels without one. {_REMEDY}"
            )
        if not is_spread:
            values, ignored = others, (VOID,)
    _require_several(values, masks, "number")
    palette = next((mask.palette for mask in masks if mask.palette is not None), None)
    names = BINARY_NAMES if len(values) == 2 else [f"class {value}" for value in values]
    entries = tuple(
        ClassEntry(name=name, values=(value,), colours=_palette_colour(palette, value))
        for name, value in zip(names, values, strict=True)
    )
    notes = [f"{len(values)} classes from the numbers in the masks: {_listed(values)}"]
    if ignored:
        notes.append(f"{VOID} in masks is taken for pixels without a class (ignored)")
    elif is_proposal and VOID in values and len(values) > 2:
        notes.append(f"{VOID} in masks may mark pixels without a class: ignore_value = {VOID} then")
    return GuessedClasses(
        by_colour=False, entries=entries, ignore_values=ignored, notes=tuple(notes)
    )


def _from_colours(masks: Sequence[MaskSummary], first: MaskSummary) -> GuessedClasses:
    plain = [mask for mask in masks if mask.colours is None]
    if plain:
        raise UsageError(
            f"folder: {printable(str(first.path))} holds colours and "
            f"{printable(str(plain[0].path))} class numbers; all masks must be of one kind. "
            f"{_REMEDY}"
        )
    counts = Counter[int]()
    for mask in masks:
        counts.update(mask.colours or {})
    values = sorted(counts)
    _require_several(values, masks, "colour")
    entries = tuple(
        ClassEntry(name="#{:02x}{:02x}{:02x}".format(*unpacked(value)), colours=(unpacked(value),))
        for value in values
    )
    notes = (f"{len(values)} classes from the colours in the masks, named by them",)
    return GuessedClasses(by_colour=True, entries=entries, notes=notes)


def _require_several(values: list[int], masks: Sequence[MaskSummary], what: str) -> None:
    if len(values) > MAX_CLASSES:
        raise UsageError(
            f"folder: the masks hold {len(values):,} {what}s, more than {MAX_CLASSES:,} classes; "
            "are they photographs, or does each object have a number of its own?"
        )
    if len(values) < 2:
        value = shown_value(values[0], by_colour=what == "colour") if values else "none"
        raise UsageError(
            f"folder: all {len(masks)} mask(s) hold one {what}, {value}; two classes are needed. "
            f"{_REMEDY}"
        )


def _palette_colour(palette: NDArray[np.uint8] | None, value: int) -> tuple[Colour, ...]:
    if palette is None or value >= len(palette):
        return ()
    red, green, blue = palette[value].tolist()
    return ((red, green, blue),)


def _counts(values: NDArray[np.int64]) -> dict[int, int]:
    if values.size and int(values.max()) < 2**16:  # counting is faster than sorting
        counts = np.bincount(values.ravel())
        present = np.flatnonzero(counts)
        return dict(zip(present.tolist(), counts[present].tolist(), strict=True))
    present, counts = np.unique(values, return_counts=True)
    return dict(zip(present.tolist(), counts.tolist(), strict=True))


def _listed(values: Sequence[int]) -> str:
    shown = ", ".join(map(str, values[:8]))
    return f"{shown}, ... {values[-1]}" if len(values) > 8 else shown
