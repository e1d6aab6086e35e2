"""`dataset.toml`: what a folder's files alone cannot say, the names of its classes above all."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from autoseg.config import Range, Seed, field_types, require_in_range
from autoseg.data.channels import MAX_CHANNELS
from autoseg.errors import FileError, UsageError, reading, unknown_name
from autoseg.foreign_text import printable, shown
from autoseg.json_file import read_regular_file
from autoseg.toml_file import parse_toml

DESCRIPTION_NAME = "dataset.toml"
"""The file in a dataset's folder."""

MAX_CLASSES = 1000
"""More than the largest public datasets have."""

Colour = tuple[int, int, int]
_MAX_NUMBER = 2**31 - 1
_MAX_BYTES = 2**24

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassEntry:
    """One class, as `[[classes]]` describes it."""

    name: str
    values: tuple[int, ...] = ()
    """Numbers that mean it in masks; several are merged."""
    colours: tuple[Colour, ...] = ()
    """Colours that mean it in masks; the first one is its colour in pictures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderConfig:
    """The single values of a description."""

    images: str | None = None
    """Name of the folder of images."""
    masks: str | None = None
    """Name of the folder of masks."""
    channels: Annotated[int, Range(low=1, high=MAX_CHANNELS)] | None = None
    """Channels of the images; none: 1 where all are grey, otherwise 3, or those of the arrays."""
    mean: tuple[float, ...] | None = None
    """Mean of each channel, images in [0, 1]; none: ImageNet's."""
    std: tuple[Annotated[float, Range(low=0, without_low=True)], ...] | None = None
    """Standard deviation of each channel, images in [0, 1]; none: ImageNet's."""
    val_share: Annotated[float, Range(low=0, high=1, without_low=True, without_high=True)] = 0.2
    """Share of the images that become val, where nothing else names them."""
    split_seed: Seed = 0
    """Decides which ones."""
    group_by: str | None = None
    """Regular expression whose first group, found in an image's name, tells what must not be on two
    sides, as a patient's number; none: each image for itself."""
    attribution: str = ""
    """Source and licence, printed under pictures."""

    def __post_init__(self) -> None:
        require_in_range(self)
        for name in (self.images, self.masks):
            if name is not None and (Path(name).is_absolute() or ".." in Path(name).parts):
                raise UsageError(
                    f"{shown(name)} leads out of the dataset's folder; name a folder in it."
                )
        if (self.mean is None) != (self.std is None):
            raise UsageError("mean and std must be given together, or neither.")
        if self.mean is not None and self.std is not None:
            num_channels = len(self.mean) if self.channels is None else self.channels
            if not len(self.mean) == len(self.std) == num_channels:
                raise UsageError(
                    f"mean has {len(self.mean)} value(s) and std {len(self.std)}, but there must "
                    f"be one for each of {num_channels} channel(s)."
                )
        if self.group_by is not None:
            _require_group(self.group_by)


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """A dataset.toml that was read, or the defaults where there is none."""

    path: Path | None = None
    """The file; None if there is none."""
    settings: FolderConfig = field(default_factory=FolderConfig)
    """Settings that have one value each."""
    classes: tuple[ClassEntry, ...] = ()
    """The classes in their order; empty leaves them to the masks."""
    ignore_values: tuple[int, ...] | None = None
    """Numbers of pixels without a class; None leaves it to the masks."""
    ignore_colours: tuple[Colour, ...] | None = None
    """Colours of pixels without a class."""
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of images by "val" and "test"; all others are train."""


def read_description(path: Path) -> Description:
    """Read a dataset.toml strictly: unknown fields, wrong types and contradictions are refused.

    Raises:
        FileError: If it is no such file; names field and value.
        OSError: If it is not there or may not be read.
    """
    with reading(path, "a TOML file"):
        table = parse_toml(read_regular_file(path, max_bytes=_MAX_BYTES))
    try:
        return _description(path, table)
    except UsageError as error:
        raise FileError(f"{printable(str(path))}: {error}") from None


_LISTS = ("classes", "ignore_value", "ignore_colour", "splits")


def _description(path: Path, table: Mapping[str, Any]) -> Description:
    types = field_types(FolderConfig)
    for name in table:
        if name not in types and name not in _LISTS:
            raise unknown_name("field", name, [*types, *_LISTS])
    settings = FolderConfig(
        **{
            name: types[name].from_toml(table[name], f"field {name!r}")
            for name in types
            if name in table
        }
    )
    classes = tuple(
        _class_entry(entry, f"classes, entry {number}")
        for number, entry in enumerate(_list(table.get("classes", []), "classes"), start=1)
    )
    read = Description(
        path=path,
        settings=settings,
        classes=classes,
        ignore_values=_optional(table, "ignore_value", _numbers),
        ignore_colours=_optional(table, "ignore_colour", _colours),
        splits=_splits(table.get("splits", {})),
    )
    _check_classes(read)
    return read


def _class_entry(entry: object, where: str) -> ClassEntry:
    known = ("name", "value", "colour")
    if not isinstance(entry, dict):
        raise UsageError(f"{where} must be a table, [[classes]], not {shown(entry)}.")
    for key in entry:
        if key not in known:
            raise UsageError(f"{where}: {unknown_name('field', key, known)}")
    name = entry.get("name")
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"{where} needs a name, not {shown(name)}.")
    return ClassEntry(
        name=name.strip(),
        values=_numbers(entry.get("value", []), f"{where}: value"),
        colours=_colours(entry.get("colour", []), f"{where}: colour"),
    )


def _check_classes(read: Description) -> None:
    if len(read.classes) > MAX_CLASSES:
        raise UsageError(f"{len(read.classes)} classes; there may be {MAX_CLASSES:,}.")
    _refuse_twice("name", [(entry.name, entry.name) for entry in read.classes])
    ignored = "ignore_value"
    numbers = [(value, entry.name) for entry in read.classes for value in entry.values]
    _refuse_twice("value", [*numbers, *((value, ignored) for value in read.ignore_values or ())])
    colours = [(colour, entry.name) for entry in read.classes for colour in entry.colours]
    ignored = "ignore_colour"
    _refuse_twice("colour", [*colours, *((c, ignored) for c in read.ignore_colours or ())])
    for kind in ("values", "colours"):
        lacking = [entry.name for entry in read.classes if not getattr(entry, kind)]
        if lacking and len(lacking) < len(read.classes):
            raise UsageError(
                f"class {shown(lacking[0])} has no {kind[:-1]}, though others have; give each "
                "class one, or none."
            )


def _refuse_twice(what: str, owners: list[tuple[Any, str]]) -> None:
    seen: dict[Any, str] = {}
    for value, owner in owners:
        if value in seen:
            whose = "two classes" if what == "name" else f"{shown(seen[value])} and {shown(owner)}"
            raise UsageError(f"the {what} {shown(value)} is that of {whose}; each needs its own.")
        seen[value] = owner


def _splits(table: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(table, dict):
        raise UsageError(f"splits must be a table, [splits], not {shown(table)}.")
    splits: dict[str, tuple[str, ...]] = {}
    owners: dict[str, str] = {}
    for split, names in table.items():
        if split not in ("val", "test"):
            raise UsageError(
                f"splits: {unknown_name('split', split, ('val', 'test'))} All other images are "
                "train."
            )
        for name in _list(names, f"splits: {split}"):
            if not isinstance(name, str):
                raise UsageError(f"splits: {split} must be names of images, not {shown(name)}.")
            if name in owners:
                raise UsageError(f"splits: {shown(name)} is in {owners[name]} and in {split}.")
            owners[name] = split
        splits[split] = tuple(names)
    return splits


def _optional(
    table: Mapping[str, Any], name: str, read: Callable[[object, str], tuple[Item, ...]]
) -> tuple[Item, ...] | None:
    return read(table[name], name) if name in table else None


def _numbers(value: object, where: str) -> tuple[int, ...]:
    numbers: list[Any] = value if isinstance(value, list) else [value]
    for number in numbers:
        if type(number) is not int or not 0 <= number <= _MAX_NUMBER:
            raise UsageError(f"{where} must be whole numbers from 0, not {shown(number)}.")
    return tuple(numbers)


def _colours(value: object, where: str) -> tuple[Colour, ...]:
    is_one = isinstance(value, list) and bool(value) and not isinstance(value[0], list)
    colours: list[Any] = [value] if is_one else _list(value, where)
    for colour in colours:
        is_colour = isinstance(colour, list) and len(colour) == 3
        if not is_colour or not all(type(part) is int and 0 <= part <= 255 for part in colour):
            raise UsageError(
                f"{where} must be [red, green, blue], each from 0 to 255, not {shown(colour)}."
            )
    return tuple((red, green, blue) for red, green, blue in colours)


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise UsageError(f"{where} must be a list, not {shown(value)}.")
    return value


def _require_group(pattern: str) -> None:
    try:
        num_groups = re.compile(pattern).groups
    except re.error as error:
        raise UsageError(f"group_by {shown(pattern)} is no regular expression: {error}.") from None
    if num_groups < 1:
        raise UsageError(
            f"group_by {shown(pattern)} has no group; put what an image's group is told by into "
            "parentheses, for example '^(patient[0-9]+)_'."
        )
