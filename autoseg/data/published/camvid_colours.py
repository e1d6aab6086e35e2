"""CamVid as its authors published it: 32 colours, 960 x 720, in SegNet's classes and splits."""

from pathlib import Path

import numpy as np

from autoseg.contract import SPLITS, SegmentationDataset
from autoseg.data.camvid import ATTRIBUTION, CLASSES, UNLABELLED, CamVid, find_root
from autoseg.data.folder.masks import IGNORED, MaskCodec, packed
from autoseg.data.folder.pairing import Pair
from autoseg.data.published.archive import Archive, count_note
from autoseg.data.published.images import PublishedImages
from autoseg.errors import FileError, unknown_name
from autoseg.foreign_text import printable

_COLOURS: dict[str, dict[str, tuple[int, int, int]]] = {
    "sky": {"Sky": (128, 128, 128)},
    "building": {
        "Archway": (192, 0, 128),
        "Bridge": (0, 128, 64),
        "Building": (128, 0, 0),
        "Tunnel": (64, 0, 64),
        "Wall": (64, 192, 0),
    },
    "pole": {"Column_Pole": (192, 192, 128), "TrafficCone": (0, 0, 64)},
    "road": {
        "LaneMkgsDriv": (128, 0, 192),
        "LaneMkgsNonDriv": (192, 0, 64),
        "Road": (128, 64, 128),
    },
    "pavement": {
        "ParkingBlock": (64, 192, 128),
        "RoadShoulder": (128, 128, 192),
        "Sidewalk": (0, 0, 192),
    },
    "tree": {"Tree": (128, 128, 0), "VegetationMisc": (192, 192, 0)},
    "sign": {
        "Misc_Text": (128, 128, 64),
        "SignSymbol": (192, 128, 128),
        "TrafficLight": (0, 64, 64),
    },
    "fence": {"Fence": (64, 64, 128)},
    "car": {
        "Car": (64, 0, 128),
        "OtherMoving": (128, 64, 64),
        "SUVPickupTruck": (64, 128, 192),
        "Train": (192, 64, 128),
        "Truck_Bus": (192, 128, 192),
    },
    "pedestrian": {
        "Animal": (64, 128, 64),
        "CartLuggagePram": (64, 0, 192),
        "Child": (192, 128, 64),
        "Pedestrian": (64, 64, 0),
    },
    "cyclist": {"Bicyclist": (0, 128, 192), "MotorcycleScooter": (192, 0, 192)},
}
"""The 31 labelled colours by name, and the class of SegNet that each is part of."""

_VOID = (0, 0, 0)
_NUM_IMAGES = {"train": 367, "val": 101, "test": 233}
_LABEL_FOLDERS = ("LabeledApproved_full", "LabeledApproved", "labels")
_IMAGE_FOLDERS = ("701_StillsRaw_full", "701_StillsRaw", "images")
_ARCHIVE = Archive(
    dataset="camvid",
    files="701_StillsRaw_full.zip and LabeledApproved_full.zip",
    site="mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid",
    needed=("701_StillsRaw_full", "LabeledApproved_full"),
)


def camvid_labels() -> MaskCodec:
    """Return the reader of labels in the 32 colours."""
    names = [name for name, _ in CLASSES]
    table = {packed(_VOID): IGNORED}
    for name, colours in _COLOURS.items():
        table |= {packed(colour): names.index(name) for colour in colours.values()}
    return MaskCodec(
        by_colour=True,
        table=tuple(sorted(table.items())),
        remedy="CamVid's labels have the 32 colours of its label_colors.txt: unpack the archive "
        "again.",
    )


def camvid(*, split: str, data_root: str | Path | None = None) -> SegmentationDataset:
    """Build a split of CamVid, from SegNet's lists or else from the authors' labels in colours.

    Raises:
        UsageError: If the split is unknown, or neither form lies in the folder.
        FileError: If a file is missing, damaged or of another origin.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    root = find_root(data_root)
    labels = None if (root / f"{split}.txt").is_file() else find_colours(root)
    if labels is None:
        return CamVid(split=split, data_root=root)
    return camvid_colours(split=split, root=root, labels=labels)


def find_colours(root: Path) -> Path | None:
    """Find the folder of labels in colours, NAME_L.png, that lies in another one, if any does."""
    folders = (root / name for name in _LABEL_FOLDERS)
    return next((each for each in folders if next(each.glob("*_L.png"), None)), None)


def camvid_colours(*, split: str, root: Path, labels: Path) -> PublishedImages:
    """Build a split of CamVid from the labels in colours.

    Classes are SegNet's 11, of which each is some of the 32, and so are the splits.

    Args:
        split: One of `SPLITS`.
        root: The folder that holds images and labels.
        labels: The folder of labels, as `find_colours` found it.

    Source: Brostow, Fauqueur, Cipolla 2009, "Semantic object classes in video: a high-definition
    ground truth database"; classes and splits of Badrinarayanan, Kendall, Cipolla 2017 (SegNet).

    Raises:
        UsageError: If no image is there.
        FileError: If a file is missing, damaged or of another origin.
    """
    folders = [root / name for name in _IMAGE_FOLDERS if (root / name).is_dir()]
    images = folders[0] if folders else root
    names = [path.stem.removesuffix("_L") for path in sorted(labels.glob("*_L.png"))]
    chosen = [name for name in names if _split_of(labels, name) == split]
    pairs = [Pair(image=images / f"{name}.png", mask=labels / f"{name}_L.png") for name in chosen]
    _ARCHIVE.require_files(pairs)
    return PublishedImages(
        name="camvid",
        split=split,
        root=root,
        pairs=pairs,
        reader=camvid_labels(),
        class_names=tuple(name for name, _ in CLASSES),
        palette=np.array([colour for _, colour in CLASSES], np.uint8),
        attribution=ATTRIBUTION,
        ignore_index=UNLABELLED,
        notes=(
            f"labels in 32 colours from {printable(str(labels))}, merged into the "
            f"{len(CLASSES)} classes of SegNet",
            *count_note("camvid", split, len(pairs), _NUM_IMAGES[split]),
        ),
    )


def _split_of(labels: Path, name: str) -> str:
    """Tell a frame's split in SegNet's lists: runs of frames of the four films."""
    film, _, frame = name.partition("_")
    number = frame.removeprefix("f")
    if not (number.isascii() and number.isdigit()):
        raise FileError(
            f"{printable(str(labels / name))}_L.png is no frame of CamVid, as 0001TP_006690_L.png "
            "is; its split is unknown: move it away."
        )
    splits = {
        "0001TP": "train" if int(number) <= 8520 else "test",
        "0006R0": "train",
        "0016E5": "val" if 7959 <= int(number) <= 8159 else "train",
        "Seq05VD": "test",
    }
    if film not in splits:
        raise FileError(
            f"{printable(str(labels / name))}_L.png is of none of CamVid's films "
            f"({', '.join(splits)}); its split is unknown: move it away."
        )
    return splits[film]
