"""Which mask belongs to which image: by the name, less what programs put behind it."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.data.arrays import ARRAY_SUFFIXES
from autoseg.data.images import IMAGE_SUFFIXES
from autoseg.errors import UsageError
from autoseg.foreign_text import printable

IMAGE_ENDINGS = (*IMAGE_SUFFIXES, *ARRAY_SUFFIXES)
"""Files that count as images; arrays hold images of many channels."""

MASK_ENDINGS = (".png", ".bmp", ".tif", ".tiff", ".gif", ".npy", ".npz", ".jpg", ".jpeg")
"""Files that count as masks. JPEGs are among them so that one can be refused by its name."""

MASK_SUFFIXES = (
    *("_gtFine_labelIds", "_gtFine_labelTrainIds", "_labelIds", "_labelTrainIds"),
    *("_segmentation", "_annotation", "_labels", "_label", "_masks", "_mask", "_seg", "_gt"),
)
"""What may follow an image's name in its mask's; also with `-` or `.` in place of `_`."""

IMAGE_NAME_SUFFIXES = ("_leftImg8bit", "_image", "_img")
"""What may follow the common name in an image's own."""

_FORMAT_MARKS = (".ome",)  # of OME-TIFF, .ome.tif
_NUM_SHOWN = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """An image and its mask."""

    image: Path
    mask: Path


def files_in(folder: Path, endings: Sequence[str]) -> list[Path]:
    """List the files below a folder that have one of the endings, sorted; hidden ones left out."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in endings
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not path.is_dir()
    ]


def has_mask_suffix(path: Path) -> bool:
    """Tell whether a file's name says that it is a mask."""
    return _without(_stem(path), MASK_SUFFIXES) != _stem(path)


def pair_files(
    images: Sequence[Path], masks: Sequence[Path], *, image_root: Path, mask_root: Path
) -> tuple[list[Pair], list[str]]:
    """Pair files that share their name and their place below the two folders.

    Endings do not count. A mask of exactly the image's name comes first; else one whose name is the
    image's with one of `MASK_SUFFIXES`, where the image may have one of `IMAGE_NAME_SUFFIXES`.

    Args:
        images: Files below `image_root`.
        masks: Files below `mask_root`.
        image_root: Folder that the images' places are counted from.
        mask_root: Folder that the masks' places are counted from.

    Returns:
        The pairs, in the order of the images, and a sentence for each kind of file that is left
        out.

    Raises:
        UsageError: If two images share a name, or two masks fit one image.
    """
    _refuse_equal_names(images, image_root)
    by_name: dict[str, list[Path]] = {}
    by_key: dict[str, list[Path]] = {}
    for mask in masks:
        place = mask.relative_to(mask_root).parent
        by_name.setdefault(str(place / _stem(mask)), []).append(mask)
        by_key.setdefault(str(place / _without(_stem(mask), MASK_SUFFIXES)), []).append(mask)
    pairs, alone = [], []
    for image in images:
        place = image.relative_to(image_root).parent
        stem = _stem(image)
        names = dict.fromkeys([stem, _without(stem, IMAGE_NAME_SUFFIXES)])
        found = next(
            (
                table[key]
                for name in names
                for table in (by_name, by_key)
                if (key := str(place / name)) in table
            ),
            [],
        )
        if len(found) > 1:
            raise UsageError(
                f"{printable(str(image))} has {len(found)} masks: {_listed(found)}. Keep one of "
                "them in the folder, or name the pairs in lists (train.txt: image and mask on a "
                "line)."
            )
        if found:
            pairs.append(Pair(image=image, mask=found[0]))
        else:
            alone.append(image)
    used = {pair.mask for pair in pairs}
    unused = [mask for mask in masks if mask not in used]
    notes = []
    if alone:
        notes.append(f"{len(alone)} image(s) without a mask are left out: {_listed(alone)}")
    if unused:
        notes.append(f"{len(unused)} mask(s) without an image are left out: {_listed(unused)}")
    return pairs, notes


def _refuse_equal_names(images: Sequence[Path], root: Path) -> None:
    seen: dict[str, Path] = {}
    for image in images:
        key = str(image.relative_to(root).parent / _stem(image))
        if key in seen:
            raise UsageError(
                f"{printable(str(seen[key]))} and {printable(str(image))} have one name, so that "
                "nobody could say whose mask is meant; rename or remove one of them."
            )
        seen[key] = image


def _stem(path: Path) -> str:
    stem = unicodedata.normalize("NFC", path.stem)  # one name however its accents are composed
    for mark in _FORMAT_MARKS:
        if stem.lower().endswith(mark):
            stem = stem[: -len(mark)]
    return stem


def _without(stem: str, suffixes: Sequence[str]) -> str:
    """Take the first suffix that fits off a name, whatever its case and its separator."""
    for suffix in suffixes:
        for separator in "_-.":
            ending = separator + suffix[1:].lower()
            if stem.lower().endswith(ending) and len(stem) > len(ending):
                return stem[: -len(ending)]
    return stem


def _listed(paths: Iterable[Path]) -> str:
    names = [printable(str(path)) for path in paths]
    more = f" and {len(names) - _NUM_SHOWN} more" if len(names) > _NUM_SHOWN else ""
    return f"{', '.join(names[:_NUM_SHOWN])}{more}"
