"""PASCAL VOC 2012, and its larger train set with the labels of SBD."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoseg.contract import SPLITS
from autoseg.data.folder.masks import IGNORED, MaskCodec
from autoseg.data.folder.pairing import Pair
from autoseg.data.images import require_regular_file
from autoseg.data.labels import default_palette
from autoseg.data.published.archive import Archive, count_note
from autoseg.data.published.images import VOID, PublishedImages
from autoseg.errors import FileError, UsageError, reading, unknown_name
from autoseg.foreign_text import printable

CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
    *("sheep", "sofa", "train", "tvmonitor"),
)
"""VOC's classes in the order of their numbers, 0 to 20."""

_NUM_IMAGES = {"train": 1464, "val": 1449}
_NUM_AUGMENTED = 10_582
_ATTRIBUTION = "PASCAL VOC 2012 (Everingham et al. 2010), photographs from flickr"
_SBD_FOLDERS = ("benchmark_RELEASE/dataset", "dataset", "SBD", "sbd")
_AUGMENTED_FOLDER = "SegmentationClassAug"


def _archive(dataset: str) -> Archive:
    return Archive(
        dataset=dataset,
        files="VOCtrainval_11-May-2012.tar",
        site="host.robots.ox.ac.uk/pascal/VOC/voc2012",
        needed=("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"),
        places=("VOCdevkit/VOC2012", "VOC2012", "."),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class VocLabels:
    """VOC's palette PNGs, whose border of 255 has no class, and SBD's `.mat` files."""

    codec: MaskCodec

    def decode(self, path: Path, *, ignore_index: int) -> NDArray[np.int32]:
        """Read the class of each pixel, (H, W)."""
        if path.suffix != ".mat":
            return self.codec.decode(path, ignore_index=ignore_index)
        labels = read_sbd(path)
        if labels.max(initial=0) >= len(CLASSES):
            row, column = np.argwhere(labels >= len(CLASSES))[0]
            raise FileError(
                f"{printable(str(path))}: the value {labels[row, column]} at row {row}, column "
                f"{column} is no class; SBD's are 0 to {len(CLASSES) - 1}."
            )
        return labels

    def lines(self) -> Iterator[str]:
        """Give what decides the classes, for a fingerprint."""
        yield from self.codec.lines()


def voc_labels() -> VocLabels:
    """Return the reader of VOC's and SBD's labels."""
    table = {**{number: number for number in range(len(CLASSES))}, VOID: IGNORED}
    return VocLabels(
        codec=MaskCodec(
            by_colour=False,
            table=tuple(sorted(table.items())),
            remedy="VOC's labels are palette PNGs whose stored numbers are the classes; a program "
            "that saved them anew as RGB or grey has changed them: unpack the archive again.",
        )
    )


def voc(*, split: str, data_root: str | Path | None = None) -> PublishedImages:
    """Build a split of PASCAL VOC 2012: 1,464 train and 1,449 val images of 21 classes.

    Source: Everingham et al. 2010, "The PASCAL Visual Object Classes (VOC) Challenge".

    Raises:
        UsageError: If the split is unknown or has no public labels, or the archive is not there.
        FileError: If files of it are missing or damaged.
    """
    archive = _archive("voc")
    root = _root(archive, split, data_root)
    names = _read_names(root, split)
    notes = count_note("voc", split, len(names), _NUM_IMAGES[split])
    if split == "train" and any(_find_augmentation(root)):
        notes += ("SBD's labels lie there too; --dataset voc-aug trains on them as well",)
    pairs = [_own_pair(root, name) for name in names]
    return _build(archive, split, root, pairs, notes)


def voc_augmented(*, split: str, data_root: str | Path | None = None) -> PublishedImages:
    """Build a split of VOC 2012 whose train set has SBD's labels too: 10,582 images.

    They are VOC's train images with VOC's labels, and all others that SBD labels, but for those of
    VOC's val. The labels beyond VOC's come from the PNGs in SegmentationClassAug, as most people
    have them, or from SBD's own `.mat` files, which scipy reads. val is VOC's own.

    Source: Hariharan et al. 2011, "Semantic Contours from Inverse Detectors".

    Raises:
        UsageError: If the split is unknown or has no public labels, or an archive is not there.
        FileError: If files of it are missing or damaged.
    """
    archive = _archive("voc-aug")
    root = _root(archive, split, data_root)
    if split == "val":
        names = _read_names(root, split)
        pairs = [_own_pair(root, name) for name in names]
        notes = count_note("voc-aug", split, len(names), _NUM_IMAGES[split])
        return _build(archive, split, root, pairs, notes)
    pngs, mats = _find_augmentation(root)
    if not pngs and not mats:
        raise UsageError(
            f"voc-aug: no labels of SBD were found near {printable(str(root))}. Expected is "
            f"{_AUGMENTED_FOLDER}/ with a PNG an image beside SegmentationClass, or SBD's own cls/ "
            "with a .mat an image in benchmark_RELEASE/dataset/, as benchmark.tgz unpacks in DIR "
            "(asked for at home.bharathh.info/pubs/codes/SBD). Without them: --dataset voc."
        )
    own, val = _read_names(root, "train"), set(_read_names(root, "val"))
    labels = pngs or mats
    others = [path for path in labels if path.stem not in val and path.stem not in set(own)]
    pairs = [_own_pair(root, name) for name in own]
    pairs += [Pair(image=root / f"JPEGImages/{path.stem}.jpg", mask=path) for path in others]
    notes = (
        f"{len(own):,} images have VOC's labels and {len(others):,} those of SBD, from "
        f"{labels[0].parent}",
        *count_note("voc-aug", split, len(pairs), _NUM_AUGMENTED),
    )
    return _build(archive, split, root, sorted(pairs, key=lambda pair: pair.image.name), notes)


def _root(archive: Archive, split: str, data_root: str | Path | None) -> Path:
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    archive.refuse_test(split)
    return archive.find(data_root)


def _build(
    archive: Archive, split: str, root: Path, pairs: Sequence[Pair], notes: tuple[str, ...]
) -> PublishedImages:
    archive.require_files(pairs)
    return PublishedImages(
        name=archive.dataset,
        split=split,
        root=root,
        pairs=pairs,
        reader=voc_labels(),
        class_names=CLASSES,
        palette=default_palette(len(CLASSES)),
        attribution=_ATTRIBUTION,
        notes=notes,
    )


def _own_pair(root: Path, name: str) -> Pair:
    return Pair(image=root / f"JPEGImages/{name}.jpg", mask=root / f"SegmentationClass/{name}.png")


def _read_names(root: Path, split: str) -> list[str]:
    """Read one of the lists in ImageSets/Segmentation: a name on each line."""
    path = root / f"ImageSets/Segmentation/{split}.txt"
    with reading(path, "a list of names"):
        require_regular_file(path)
        names = path.read_text(encoding="ascii").split()
    if not names:
        raise FileError(f"{printable(str(path))} is empty; unpack the archive again.")
    if wrong := [name for name in names if not name.replace("_", "").isalnum()]:
        raise FileError(
            f"{printable(str(path))} holds {wrong[0]!r}; expected a name on each line, such as "
            "2007_000032."
        )
    return names


def _find_augmentation(root: Path) -> tuple[list[Path], list[Path]]:
    """List the labels beyond VOC's own: PNGs, and SBD's `.mat` files."""
    above = (root, root.parent, root.parent.parent)
    pngs = [folder / _AUGMENTED_FOLDER for folder in above]
    mats = [folder / each / "cls" for folder in above for each in _SBD_FOLDERS]
    return _first(pngs, "*.png"), _first(mats, "*.mat")


def _first(folders: Sequence[Path], pattern: str) -> list[Path]:
    return next((found for each in folders if (found := sorted(each.glob(pattern)))), [])


def read_sbd(path: Path) -> NDArray[np.int32]:
    """Read SBD's classes from a `.mat` file: `GTcls.Segmentation`, (H, W).

    Raises:
        UsageError: If scipy is not installed.
        FileError: If the file is not one of SBD's.
    """
    # MATLAB 5 files are nested, compressed and typed: scipy reads them safely, and nobody else
    # needs it.
    try:
        from scipy.io import loadmat
    except ModuleNotFoundError:
        raise UsageError(
            f"{printable(str(path))}: scipy reads SBD's .mat files, and is not installed: pip "
            f"install 'autoseg-nas[sbd]'. The PNGs of {_AUGMENTED_FOLDER} need nothing."
        ) from None
    with reading(path, "labels of SBD (.mat with GTcls.Segmentation)"):
        require_regular_file(path)
        labels = loadmat(path, variable_names=["GTcls"])["GTcls"][0, 0]["Segmentation"]
        if labels.ndim != 2 or labels.dtype.kind != "u":
            raise ValueError(f"its Segmentation is {labels.dtype} of shape {labels.shape}")
    return np.asarray(labels, dtype=np.int32)
