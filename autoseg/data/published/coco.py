"""COCO 2017, from the panoptic PNGs: its own 133 classes, or the 21 of PASCAL VOC."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.contract import SPLITS
from autoseg.data.folder.masks import IGNORED, colours_of, unpacked
from autoseg.data.folder.pairing import Pair
from autoseg.data.images import require_regular_file
from autoseg.data.labels import ColourFile, default_palette, read_mask
from autoseg.data.published.archive import Archive, count_note
from autoseg.data.published.images import PublishedImages
from autoseg.data.published.voc import CLASSES as VOC_CLASSES
from autoseg.errors import FileError, UsageError, reading, unknown_name
from autoseg.foreign_text import listed, printable

VOC_NAMES = {
    "airplane": "aeroplane",
    "couch": "sofa",
    "dining table": "diningtable",
    "motorcycle": "motorbike",
    "potted plant": "pottedplant",
    "tv": "tvmonitor",
}
"""VOC's word for the COCO classes that VOC calls otherwise; 14 more share their names."""

MIN_VOC_AREA = 1000
"""Pixels of VOC's classes that an image must have more of, to be in coco-voc's train set."""

_NUM_IMAGES = {"train": 118_287, "val": 5000}
_MAX_BYTES = 2**31
_MAX_SIDE = 2**16  # pixels
_MAX_NAME = 200
_UNLABELLED = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class PanopticLabels:
    """Which class each segment of each PNG has. Kept as arrays: COCO has 1.4 million segments."""

    places: Mapping[str, tuple[int, int]]
    """Where an image's segments stand in the arrays, first and behind the last, by file name."""
    ids: NDArray[np.int64]
    """Segment ids, ascending within an image."""
    classes: NDArray[np.int32]
    """Class of each segment; `IGNORED` for crowds."""

    def decode(self, path: Path, *, ignore_index: int) -> NDArray[np.int32]:
        """Read the class of each pixel, (H, W), from R + 256 G + 256^2 B, the segment's id."""
        file = read_mask(path)
        if not isinstance(file, ColourFile):
            raise FileError(
                f"{printable(str(path))} holds numbers in one channel; COCO's panoptic PNGs are "
                "RGB, and their colours are the segments' ids: unpack the archive again."
            )
        colours = colours_of(file)  # 0xRRGGBB
        values = (colours >> 16) | (colours & 0xFF00) | ((colours & 0xFF) << 16)
        start, stop = self.places[path.name]
        ids, classes = self.ids[start:stop], self.classes[start:stop]
        found = np.searchsorted(ids, values).clip(max=max(len(ids) - 1, 0))
        is_void = values == _UNLABELLED
        is_known = ids[found] == values if len(ids) else np.zeros_like(is_void)
        if not (is_known | is_void).all():
            row, column = np.argwhere(~(is_known | is_void))[0]
            raise FileError(
                f"{printable(str(path))}: the colour {unpacked(int(colours[row, column]))} at row "
                f"{row}, column {column} is segment {values[row, column]}, which the JSON file "
                "does not list for this image; PNGs and JSON are of one archive."
            )
        labels = np.where(is_void, IGNORED, classes[found] if len(ids) else IGNORED)
        return np.where(labels == IGNORED, ignore_index, labels).astype(np.int32)

    def lines(self) -> Iterator[str]:
        """Give what decides the classes, for a fingerprint."""
        yield f"{len(self.ids)} segments, ids {self.ids.sum()}, classes {self.classes.sum()}"


def coco(*, split: str, data_root: str | Path | None = None) -> PublishedImages:
    """Build a split of COCO 2017 with the 133 panoptic classes: 80 of things and 53 of stuff.

    Crowds and pixels without a segment have no class. Names come from the JSON file.

    Source: Kirillov et al. 2019, "Panoptic Segmentation"; Lin et al. 2014, "Microsoft COCO"; PNGs
    as cocodataset.org describes its panoptic format.

    Raises:
        UsageError: If the split is unknown or has no public labels, or an archive is not there.
        FileError: If files of it are missing or damaged.
    """
    listing = _Listing.read("coco", split, data_root)
    names = tuple(listing.categories.values())
    numbers = {category: number for number, category in enumerate(listing.categories)}
    notes = count_note("coco", split, len(listing.annotations), _NUM_IMAGES[split])
    return _build(
        listing, numbers, names, default_palette(len(names) + 1)[1:], listing.annotations, notes
    )


def coco_voc(*, split: str, data_root: str | Path | None = None) -> PublishedImages:
    """Build a split of COCO 2017 in VOC's 21 classes, to train on before VOC.

    As in DeepLab v3, train has the images with more than 1,000 pixels of VOC's classes, and every
    other class of COCO is background. Two things are otherwise: crowds and pixels without a segment
    have no class here, where DeepLab's labels, made of objects alone, call them background.

    Source: Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation".

    Raises:
        UsageError: If the split is unknown or has no public labels, or an archive is not there.
        FileError: If files of it are missing or damaged, or a class is not among the JSON's.
    """
    listing = _Listing.read("coco-voc", split, data_root)
    numbers = {
        category: VOC_CLASSES.index(word)
        for category, name in listing.categories.items()
        if (word := VOC_NAMES.get(name, name)) in VOC_CLASSES
    }
    missing = set(range(1, len(VOC_CLASSES))) - set(numbers.values())
    if missing:
        raise FileError(
            f"{printable(str(listing.path))} has no category for VOC's "
            f"{listed([VOC_CLASSES[number] for number in sorted(missing)])}; unpack it again."
        )
    chosen = listing.annotations
    notes: tuple[str, ...] = ()
    if split == "train":
        chosen = [each for each in chosen if _voc_area(each, numbers) > MIN_VOC_AREA]
        notes = (
            f"{len(chosen):,} of {len(listing.annotations):,} images have more than "
            f"{MIN_VOC_AREA:,} pixels of VOC's classes",
        )
    background = dict.fromkeys(listing.categories, 0)
    palette = default_palette(len(VOC_CLASSES))
    return _build(listing, {**background, **numbers}, VOC_CLASSES, palette, chosen, notes)


def _voc_area(annotation: Mapping[str, Any], numbers: Mapping[int, int]) -> int:
    return sum(
        segment["area"]
        for segment in annotation["segments_info"]
        if segment["category_id"] in numbers and not segment["iscrowd"]
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Listing:
    """What a JSON file of panoptic labels lists."""

    archive: Archive
    split: str
    root: Path
    path: Path
    categories: dict[int, str]
    """Names by category id, ascending."""
    images: dict[int, tuple[str, int, int]]
    """File name, height and width by image id."""
    annotations: list[dict[str, Any]]
    """Per image: image_id, file_name, segments_info."""

    @classmethod
    def read(cls, dataset: str, split: str, data_root: str | Path | None) -> "_Listing":
        """Find and read a split's JSON file."""
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        archive = Archive(
            dataset=dataset,
            files=f"{split}2017.zip and panoptic_annotations_trainval2017.zip",
            site="cocodataset.org",
            needed=(f"annotations/panoptic_{split}2017.json",),
            places=(".", "coco"),
        )
        archive.refuse_test(split)
        root = archive.find(data_root)
        path = root / archive.needed[0]
        with reading(path, "COCO's panoptic labels", remedy="unpack the archive again"):
            require_regular_file(path)
            if path.stat().st_size > _MAX_BYTES:
                raise ValueError(f"it has {path.stat().st_size:,} bytes")
            content = json.loads(path.read_bytes())
            categories = {int(each["id"]): str(each["name"]) for each in content["categories"]}
            images = {
                int(each["id"]): (str(each["file_name"]), int(each["height"]), int(each["width"]))
                for each in content["images"]
            }
            for name, height, width in images.values():
                _check_name(name)
                if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
                    raise ValueError(f"{name} is {height} x {width} pixels")
            for each in content["annotations"]:
                _check(each, images, categories)
            if len({each["file_name"] for each in content["annotations"]}) < len(
                content["annotations"]
            ):
                raise ValueError("it lists a PNG twice")
        return cls(
            archive=archive,
            split=split,
            root=root,
            path=path,
            categories=dict(sorted(categories.items())),
            images=images,
            annotations=content["annotations"],
        )


def _check(
    annotation: Mapping[str, Any], images: Mapping[int, object], categories: Mapping[int, object]
) -> None:
    """Refuse what would fail later, or give a pixel two classes."""
    name = annotation["file_name"]
    _check_name(name)
    if annotation["image_id"] not in images:
        raise ValueError(f"it has labels, {name!r}, of an image that it does not list")
    ids = [segment["id"] for segment in annotation["segments_info"]]
    if len(set(ids)) < len(ids):
        raise ValueError(f"{name} has a segment twice")
    for segment in annotation["segments_info"]:
        if segment["category_id"] not in categories:
            raise ValueError(f"{name} has a segment of category {segment['category_id']!r}")
        if not isinstance(segment["id"], int) or not 0 < segment["id"] < 2**24:
            raise ValueError(f"{name} has a segment with the id {segment['id']!r}")
        if segment["iscrowd"] not in (0, 1) or not isinstance(segment["area"], int | float):
            raise ValueError(f"{name} has a segment without area or iscrowd")


def _check_name(name: str) -> None:
    """Refuse what would lead out of the folder, or what no file system takes."""
    if Path(name).name != name or len(name) > _MAX_NAME:
        raise ValueError(f"{name[:_MAX_NAME]!r} is no file's name")


def _build(
    listing: _Listing,
    numbers: Mapping[int, int],
    names: tuple[str, ...],
    palette: NDArray[np.uint8],
    annotations: Sequence[dict[str, Any]],
    notes: tuple[str, ...],
) -> PublishedImages:
    root, split = listing.root, listing.split
    images = _folder(listing, f"{split}2017", f"images/{split}2017")
    labels = _folder(listing, f"annotations/panoptic_{split}2017", f"panoptic_{split}2017")
    shown = [listing.images[each["image_id"]] for each in annotations]
    pairs = [
        Pair(image=images / name, mask=labels / each["file_name"])
        for each, (name, _, _) in zip(annotations, shown, strict=True)
    ]
    listing.archive.require_files(pairs)
    return PublishedImages(
        name=listing.archive.dataset,
        split=split,
        root=root,
        pairs=pairs,
        reader=_labels(annotations, numbers),
        class_names=names,
        palette=palette,
        attribution="COCO 2017 (Lin et al. 2014; Kirillov et al. 2019), annotations CC BY 4.0",
        notes=notes,
        largest_size=(max(height for _, height, _ in shown), max(width for _, _, width in shown)),
    )


def _folder(listing: _Listing, *names: str) -> Path:
    """Find a folder under one of its names, or say that its archive was not unpacked."""
    for name in names:
        if (listing.root / name).is_dir():
            return listing.root / name
    packed = listing.root / f"{names[0]}.zip"
    hint = f" {printable(str(packed))} lies there: unpack it too." if packed.is_file() else ""
    raise UsageError(
        f"{listing.archive.dataset}: {printable(str(listing.root))} has no folder "
        f"{' or '.join(names)}, which {listing.archive.files} of {listing.archive.site} "
        f"hold(s).{hint}"
    )


def _labels(annotations: Sequence[Mapping[str, Any]], numbers: Mapping[int, int]) -> PanopticLabels:
    places, ids, classes = {}, [], []
    for each in annotations:
        start = len(ids)
        for segment in sorted(each["segments_info"], key=lambda segment: segment["id"]):
            ids.append(segment["id"])
            number = numbers[segment["category_id"]]
            classes.append(IGNORED if segment["iscrowd"] else number)
        places[each["file_name"]] = (start, len(ids))
    return PanopticLabels(
        places=places,
        ids=np.array(ids, dtype=np.int64),
        classes=np.array(classes, dtype=np.int32),
    )
