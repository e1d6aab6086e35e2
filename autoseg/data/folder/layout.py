"""How a folder of images and masks is laid out, as people and programs leave it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.data.folder.pairing import (
    IMAGE_ENDINGS,
    MASK_ENDINGS,
    Pair,
    files_in,
    has_mask_suffix,
    pair_files,
)
from autoseg.data.lists import read_list
from autoseg.errors import FileError, UsageError
from autoseg.foreign_text import printable, shown

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages")
"""Names of a folder of images, whatever their case."""

MASK_FOLDERS = (
    *("masks", "mask", "labels", "label", "annotations", "annotation", "gt", "ground_truth"),
    *("groundtruth", "segmentations", "segmentation", "segmentationclass"),
)
"""Names of a folder of masks, whatever their case."""

SPLIT_NAMES: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Names of folders and lists by split, whatever their case."""

UNDIVIDED = "all"
"""Key of the pairs in a folder that has no splits."""

_EXPECTED = (
    "images/ and masks/ (or labels/, annotations/, gt/), with train/, val/, test/ above or below "
    "them or without, or lists train.txt, val.txt, test.txt with an image and its mask on each line"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderLayout:
    """What lies in a folder: pairs of files by split."""

    root: Path
    """The folder."""
    pairs: dict[str, tuple[Pair, ...]]
    """By "train", "val" and "test" as far as there are such, or all of them by `UNDIVIDED`."""
    description: str
    """How it is laid out, in words."""
    notes: tuple[str, ...]
    """What is left out, in sentences."""


def find_layout(root: Path, *, images: str | None = None, masks: str | None = None) -> FolderLayout:
    """Find out how a folder is laid out.

    The first of these that is there counts: lists of the splits; the folders of images and of
    masks; a folder a split that holds the two; images beside masks whose names say so.

    Args:
        root: The folder.
        images: Name of the folder of images; None for one of `IMAGE_FOLDERS`.
        masks: Name of the folder of masks; None for one of `MASK_FOLDERS`.

    Raises:
        UsageError: If it is no folder, is empty, has no such layout, or several.
        FileError: If a list is malformed, or names a file that is not there.
    """
    _require_folder(root)
    return (
        _from_lists(root)
        or _from_two_folders(root, images, masks)
        or _from_split_folders(root, images, masks)
        or _from_suffixes(root)
        or _refuse(root, [name for name in (images, masks) if name is not None])
    )


def _from_lists(root: Path) -> FolderLayout | None:
    found: dict[str, Path] = {}
    for split, names in SPLIT_NAMES.items():
        lists = [p for p in _children(root) if p.suffix.lower() == ".txt" and p.is_file()]
        matching = [path for path in lists if path.stem.lower() in names]
        _refuse_several(matching, f"lists of {split}")
        if matching:
            found[split] = matching[0]
    if "train" not in found:
        return None
    pairs = {
        split: tuple(Pair(image=image, mask=mask) for image, mask in read_list(path))
        for split, path in found.items()
    }
    for split, path in found.items():
        if not pairs[split]:
            raise UsageError(f"folder: the list {printable(str(path))} is empty.")
        for file in (file for pair in pairs[split] for file in (pair.image, pair.mask)):
            if not file.is_file():
                raise FileError(
                    f"{printable(str(file))}: the file is in {path.name}, but does not exist; copy "
                    "it there, or take its line out of the list."
                )
    names = ", ".join(path.name for path in found.values())
    return FolderLayout(root=root, pairs=pairs, description=f"lists {names}", notes=())


def _from_two_folders(root: Path, images: str | None, masks: str | None) -> FolderLayout | None:
    image_root = _folder(root, images, IMAGE_FOLDERS, "images")
    mask_root = _folder(root, masks, MASK_FOLDERS, "masks")
    if image_root is None or mask_root is None:
        return None
    image_splits, mask_splits = _split_folders(image_root), _split_folders(mask_root)
    words = f"{image_root.name}/ and {mask_root.name}/"
    if image_splits.keys() != mask_splits.keys():
        raise UsageError(
            f"folder: {printable(str(image_root))} has the splits "
            f"{', '.join(image_splits) or 'none'}, and {printable(str(mask_root))} has "
            f"{', '.join(mask_splits) or 'none'}; both must have the same folders."
        )
    if not image_splits:
        return _paired(root, {UNDIVIDED: (image_root, mask_root)}, words)
    folders = {split: (path, mask_splits[split]) for split, path in image_splits.items()}
    return _paired(root, folders, f"{words}, each with {', '.join(folders)}")


def _from_split_folders(root: Path, images: str | None, masks: str | None) -> FolderLayout | None:
    folders = {}
    for split, path in _split_folders(root).items():
        image_root = _folder(path, images, IMAGE_FOLDERS, "images")
        mask_root = _folder(path, masks, MASK_FOLDERS, "masks")
        if image_root is not None and mask_root is not None:
            folders[split] = (image_root, mask_root)
    return _paired(root, folders, f"{', '.join(folders)}, each with images and masks")


def _from_suffixes(root: Path) -> FolderLayout | None:
    """Pair images with masks that lie beside them, as `a.png` and `a_mask.png`."""
    splits = _split_folders(root) or {UNDIVIDED: root}
    pairs, notes = {}, []
    for split, path in splits.items():
        files = files_in(path, IMAGE_ENDINGS)
        masks = [file for file in files if has_mask_suffix(file)]
        if masks:
            images = [file for file in files if not has_mask_suffix(file)]
            found, left_out = pair_files(images, masks, image_root=path, mask_root=path)
            pairs[split] = tuple(found)
            notes += left_out
    pairs = {split: found for split, found in pairs.items() if found}
    if not pairs or ("train" not in pairs and UNDIVIDED not in pairs):
        return None
    words = "masks beside their images, told by their names"
    return FolderLayout(root=root, pairs=pairs, description=words, notes=tuple(notes))


def _paired(
    root: Path, folders: dict[str, tuple[Path, Path]], description: str
) -> FolderLayout | None:
    if not folders:
        return None
    if UNDIVIDED not in folders and "train" not in folders:
        raise UsageError(
            f"folder: {printable(str(root))} has {', '.join(folders)}, but no train/; add it, or "
            "put all images into images/ and all masks into masks/."
        )
    pairs, notes = {}, []
    for split, (image_root, mask_root) in folders.items():
        images = files_in(image_root, IMAGE_ENDINGS)
        masks = files_in(mask_root, MASK_ENDINGS)
        for files, folder, what in ((images, image_root, "image"), (masks, mask_root, "mask")):
            if not files:
                raise UsageError(
                    f"folder: {printable(str(folder))} holds no {what} in a format that is read; "
                    "put them there."
                )
        found, left_out = pair_files(images, masks, image_root=image_root, mask_root=mask_root)
        if not found:
            raise UsageError(
                f"folder: none of the {len(images)} image(s) in {printable(str(image_root))} has "
                f"its mask among the {len(masks)} in {printable(str(mask_root))}; a mask has its "
                "image's name, which may be followed by _mask, _gt, _label or _labelIds."
            )
        pairs[split] = tuple(found)
        notes += left_out
    return FolderLayout(root=root, pairs=pairs, description=description, notes=tuple(notes))


def _require_folder(root: Path) -> None:
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UsageError(
            f"folder: {printable(str(root))} {what}; name the folder that holds images/ and masks/."
        )
    if not any(root.iterdir()):
        raise UsageError(f"folder: {printable(str(root))} is empty; expected {_EXPECTED}.")


def _refuse(root: Path, named: Sequence[str]) -> FolderLayout:
    for name in named:
        if not any((folder / name).is_dir() for folder in (root, *_split_folders(root).values())):
            raise UsageError(
                f"folder: dataset.toml names the folder {shown(name)}, and "
                f"{printable(str(root))} has none of that name."
            )
    names = [f"{path.name}/" if path.is_dir() else path.name for path in _children(root)]
    more = ", ..." if len(names) > 8 else ""
    inside = f"{', '.join(map(printable, names[:8]))}{more}"
    nested = [path for path in _children(root) if path.is_dir() and _looks_right(path)]
    hint = f" Did you mean {printable(str(nested[0]))}?" if nested else ""
    raise UsageError(
        f"folder: {printable(str(root))} holds {inside or 'hidden files alone'}; expected "
        f"{_EXPECTED}.{hint}"
    )


def _looks_right(path: Path) -> bool:
    names = {child.name.lower() for child in path.iterdir()}
    return bool(names & {*IMAGE_FOLDERS, "train.txt"})


def _folder(root: Path, name: str | None, usual: Sequence[str], what: str) -> Path | None:
    """Find the folder of images or of masks: the one named, or one of the usual names."""
    if name is not None:
        return root / name if (root / name).is_dir() else None
    found = [path for path in _children(root) if path.name.lower() in usual and path.is_dir()]
    _refuse_several(found, f"folders of {what}")
    return found[0] if found else None


def _split_folders(root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for split, names in SPLIT_NAMES.items():
        folders = [p for p in _children(root) if p.name.lower() in names and p.is_dir()]
        _refuse_several(folders, f"folders of {split}")
        if folders:
            found[split] = folders[0]
    return found


def _refuse_several(found: Sequence[Path], what: str) -> None:
    if len(found) > 1:
        raise UsageError(
            f"folder: {printable(str(found[0].parent))} has several {what}: "
            f"{', '.join(printable(path.name) for path in found)}. Name the one that is meant in "
            "dataset.toml (images = ..., masks = ...), or move the others away."
        )


def _children(root: Path) -> list[Path]:
    return [path for path in sorted(root.iterdir()) if not path.name.startswith(".")]
