"""Which image is on which side, so that no picture, and no group of them, is on both."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from autoseg.data.folder.description import Description
from autoseg.data.folder.layout import UNDIVIDED, FolderLayout
from autoseg.data.folder.pairing import Pair
from autoseg.errors import FileError, UsageError, reading
from autoseg.foreign_text import printable, shown

Splits = dict[str, tuple[Pair, ...]]

_CHUNK = 2**20  # bytes


def divide(layout: FolderLayout, description: Description) -> tuple[Splits, list[str]]:
    """Decide which pairs are train, val and test.

    Folders, lists and the description's [splits] decide first. Without val, a share of train
    becomes it: groups of images in an order that `split_seed` and their names alone decide, so
    that adding an image moves no other. Images of equal content are one group.

    Returns:
        Pairs by split, and what was decided, in sentences.

    Raises:
        UsageError: If a name in [splits] is no image's, or nothing would be left to train on.
    """
    splits = dict(layout.pairs)
    notes: list[str] = []
    if UNDIVIDED in splits:
        splits["train"] = splits.pop(UNDIVIDED)
    if description.splits:
        splits = _by_names(splits, description)
    # One look for all: equal files are found wherever they lie.
    pairs = [pair for split in splits.values() for pair in split]
    contents = _contents([pair.image for pair in pairs])
    splits, left_out = _without_leaks(splits, contents)
    notes += left_out
    if "val" not in splits:
        splits, note = _with_val(splits, contents, description, layout.root)
        notes.append(note)
    if not splits["train"]:
        raise UsageError(f"folder: {printable(str(layout.root))} has no image left for train.")
    return {split: splits[split] for split in ("train", "val", "test") if split in splits}, notes


def _by_names(splits: Splits, description: Description) -> Splits:
    """Move the images that the description names."""
    if set(splits) != {"train"}:
        raise FileError(
            f"{printable(str(description.path))}: [splits] names images, but the folder has the "
            f"splits {', '.join(splits)} already; take one of the two away."
        )
    owner = {name: split for split, names in description.splits.items() for name in names}
    found: dict[str, list[Pair]] = {"train": [], **{split: [] for split in description.splits}}
    met: set[str] = set()
    for pair in splits["train"]:
        name = next((name for name in (pair.image.stem, pair.image.name) if name in owner), None)
        found["train" if name is None else owner[name]].append(pair)
        if name is not None:
            met.add(name)
    if unknown := [name for name in owner if name not in met]:
        raise FileError(
            f"{printable(str(description.path))}: splits.{owner[unknown[0]]} names "
            f"{shown(unknown[0])}, and no image has that name."
        )
    return {split: tuple(pairs) for split, pairs in found.items() if pairs}


def _contents(paths: Sequence[Path]) -> dict[Path, str]:
    """Give files of equal content one key; only files of equal size are read."""
    by_size: dict[int, list[Path]] = {}
    for path in paths:
        with reading(path, "an image"):
            by_size.setdefault(path.stat().st_size, []).append(path)
    return {
        path: _checksum(path) if len(same_size) > 1 else str(path)
        for same_size in by_size.values()
        for path in same_size
    }


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with reading(path, "an image"), path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _without_leaks(splits: Splits, contents: Mapping[Path, str]) -> tuple[Splits, list[str]]:
    """Take out of train and val what test has too, and out of train what val has."""
    kept: Splits = {}
    notes = []
    seen: dict[str, str] = {}
    for split in ("test", "val", "train"):
        if split not in splits:
            continue
        leaks = [pair for pair in splits[split] if contents[pair.image] in seen]
        kept[split] = tuple(pair for pair in splits[split] if contents[pair.image] not in seen)
        if leaks:
            others = ", ".join(sorted({seen[contents[pair.image]] for pair in leaks}))
            notes.append(
                f"{len(leaks)} image(s) of {split} are in {others} too, and left out of {split}: "
                f"{_names(pair.image for pair in leaks)}"
            )
        seen |= {contents[pair.image]: split for pair in kept[split]}
    return kept, notes


def _with_val(
    splits: Splits, contents: Mapping[Path, str], description: Description, root: Path
) -> tuple[Splits, str]:
    """Make val of whole groups of train."""
    settings = description.settings
    groups = _groups(splits["train"], contents, settings.group_by, root)
    if len(groups) < 2:
        raise UsageError(
            f"folder: {printable(str(root))} has {len(splits['train'])} image(s) in "
            f"{len(groups)} group(s) of their own; at least 2 are needed, to train on one and "
            "validate on another."
        )
    num_wanted = max(1, round(settings.val_share * len(splits["train"])))
    chosen: set[Path] = set()
    for group in sorted(groups, key=lambda group: _draw(settings.split_seed, group, root))[:-1]:
        if len(chosen) >= num_wanted:
            break
        chosen |= {pair.image for pair in group}
    val = tuple(pair for pair in splits["train"] if pair.image in chosen)
    train = tuple(pair for pair in splits["train"] if pair.image not in chosen)
    note = (
        f"no val split: {len(val)} of {len(val) + len(train)} training images become val "
        f"(val_share {settings.val_share:g}, split_seed {settings.split_seed})"
    )
    return {**splits, "train": train, "val": val}, note


def _groups(
    pairs: Sequence[Pair], contents: Mapping[Path, str], group_by: str | None, root: Path
) -> list[list[Pair]]:
    """Join images that share content or group, also through others."""
    parents = list(range(len(pairs)))
    owner: dict[str, int] = {}

    def root_of(number: int) -> int:
        while parents[number] != number:
            number = parents[number]
        return number

    for number, pair in enumerate(pairs):
        for key in (f"content {contents[pair.image]}", *_group_keys(pair.image, group_by, root)):
            parents[root_of(number)] = root_of(owner.setdefault(key, number))
    groups: dict[int, list[Pair]] = {}
    for number, pair in enumerate(pairs):
        groups.setdefault(root_of(number), []).append(pair)
    return list(groups.values())


def _group_keys(image: Path, group_by: str | None, root: Path) -> list[str]:
    if group_by is None:
        return []
    match = re.search(group_by, image.stem)
    if match is None or match.group(1) is None:
        raise UsageError(
            f"folder: group_by {shown(group_by)} finds nothing in the name "
            f"{printable(place(image, root))}; every image needs a group."
        )
    return [f"group {match.group(1)}"]


def _draw(seed: int, group: Sequence[Pair], root: Path) -> bytes:
    name = min(place(pair.image, root) for pair in group)
    return hashlib.sha256(f"{seed} {name}".encode("utf-8", "surrogateescape")).digest()


def place(path: Path, root: Path) -> str:
    """Write where a file lies in the dataset's folder, wherever that lies."""
    return path.absolute().relative_to(root.absolute()).as_posix()


def _names(paths: Iterable[Path]) -> str:
    names = [printable(path.name) for path in paths]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
