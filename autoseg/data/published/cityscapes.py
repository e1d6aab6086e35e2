"""Cityscapes: fine labels, and the coarse ones of the extra train images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoseg.contract import SPLITS
from autoseg.data.folder.masks import IGNORED, MaskCodec, read_mask_file
from autoseg.data.folder.pairing import Pair
from autoseg.data.labels import ColourFile
from autoseg.data.published.archive import Archive, count_note
from autoseg.data.published.images import VOID, PublishedImages
from autoseg.errors import FileError, UsageError, unknown_name
from autoseg.foreign_text import printable

_CLASSES: tuple[tuple[str, int, tuple[int, int, int]], ...] = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
"""Name, label id and colour of the evaluated classes, in the order of their train ids."""

COARSE_SPLIT = "train_extra"
"""The split of 19,998 images that have coarse labels alone."""

_MAX_ID = 33
_NUM_IMAGES = {"train": 2975, "val": 500, COARSE_SPLIT: 19_998}
_LABEL_IDS, _TRAIN_IDS = "labelIds", "labelTrainIds"
_MISTAKEN = ("color", "instanceIds", "instanceTrainIds", "polygons")
_FIRST_INSTANCE = 1000  # an object's instance id is 1000 times its label id, and its number
_IMAGE_END = "_leftImg8bit"
_REMEDY = "Cityscapes' labels are the files _labelIds.png: unpack the archive again."


@dataclass(frozen=True, kw_only=True, slots=True)
class CityscapesLabels:
    """Label ids of `_labelIds.png`, or train ids of `_labelTrainIds.png`."""

    by_ids: MaskCodec
    by_train_ids: MaskCodec

    def decode(self, path: Path, *, ignore_index: int) -> NDArray[np.int32]:
        """Read the class of each pixel, (H, W), and refuse files of another kind by their kind."""
        file = read_mask_file(path)
        if isinstance(file, ColourFile):
            raise _mistaken(path, "colours, as the files _color.png do")
        highest, is_train = int(file.labels.max()), path.stem.endswith(_TRAIN_IDS)
        if highest >= _FIRST_INSTANCE:
            raise _mistaken(path, f"instance ids ({highest}), as the files _instanceIds.png do")
        values = set(np.unique(file.labels).tolist())
        if not is_train and VOID in values and max(values - {VOID}, default=VOID) < len(_CLASSES):
            raise FileError(
                f"{printable(str(path))} holds 255 and no number above 18: these are train ids, "
                f"not label ids; give it the ending _{_TRAIN_IDS}.png."
            )
        if is_train and len(_CLASSES) <= max(values - {VOID}, default=0) <= _MAX_ID:
            raise FileError(
                f"{printable(str(path))} holds {max(values - {VOID})}, which is a label id and no "
                f"train id (0 to 18); give it the ending _{_LABEL_IDS}.png."
            )
        codec = self.by_train_ids if is_train else self.by_ids
        return codec.classes_in(file, path, ignore_index=ignore_index)

    def lines(self) -> Iterator[str]:
        """Give what decides the classes, for a fingerprint."""
        yield from self.by_ids.lines()
        yield from self.by_train_ids.lines()


def cityscapes_labels() -> CityscapesLabels:
    """Return the reader of both kinds of labels, by the official table."""
    ids = dict.fromkeys(range(_MAX_ID + 1), IGNORED)
    ids |= {number: train_id for train_id, (_, number, _) in enumerate(_CLASSES)}
    # The table gives license plates the id -1, and no pixel of the archive has it; who draws the
    # labels anew writes 255 in 8 bits.
    ids |= {-1: IGNORED, VOID: IGNORED}
    train_ids = {**{number: number for number in range(len(_CLASSES))}, VOID: IGNORED}
    codec = partial(MaskCodec, by_colour=False, remedy=_REMEDY)
    return CityscapesLabels(
        by_ids=codec(table=tuple(sorted(ids.items()))),
        by_train_ids=codec(table=tuple(sorted(train_ids.items()))),
    )


def cityscapes(*, split: str, data_root: str | Path | None = None) -> PublishedImages:
    """Build a split of Cityscapes: train and val with fine labels, train_extra with coarse ones.

    Source: Cordts et al. 2016, "The Cityscapes Dataset for Semantic Urban Scene Understanding";
    label ids, train ids and colours of cityscapesScripts, helpers/labels.py.

    Raises:
        UsageError: If the split is unknown or has no public labels, or an archive is not there.
        FileError: If files of it are missing or damaged.
    """
    return _build("cityscapes", split, data_root)


def cityscapes_coarse(*, split: str, data_root: str | Path | None = None) -> PublishedImages:
    """Build Cityscapes for training on coarse labels: train is train_extra, val has fine labels.

    Raises:
        UsageError: If the split is unknown or has no public labels, or an archive is not there.
        FileError: If files of it are missing or damaged.
    """
    return _build("cityscapes-coarse", COARSE_SPLIT if split == "train" else split, data_root)


def _build(dataset: str, split: str, data_root: str | Path | None) -> PublishedImages:
    if split not in (*SPLITS, COARSE_SPLIT):
        raise unknown_name("split", split, (*SPLITS, COARSE_SPLIT))
    labels = "gtCoarse" if split == COARSE_SPLIT else "gtFine"
    images = "leftImg8bit_trainextra" if split == COARSE_SPLIT else "leftImg8bit_trainvaltest"
    archive = Archive(
        dataset=dataset,
        files=f"{images}.zip and {labels}{'' if labels == 'gtCoarse' else '_trainvaltest'}.zip",
        site="www.cityscapes-dataset.com",
        needed=(f"leftImg8bit/{split}", f"{labels}/{split}"),
        places=(".", "cityscapes"),
    )
    archive.refuse_test(split)
    root = archive.find(data_root)
    paths = sorted((root / "leftImg8bit" / split).glob(f"*/*{_IMAGE_END}.png"))
    pairs = [_pair(path, root / labels / split, labels) for path in paths]
    _refuse_mistaken(dataset, pairs)
    archive.require_files(pairs)
    return PublishedImages(
        name=dataset,
        # A training asks for its own words.
        split="train" if dataset == "cityscapes-coarse" and split == COARSE_SPLIT else split,
        root=root,
        pairs=pairs,
        reader=cityscapes_labels(),
        class_names=tuple(name for name, _, _ in _CLASSES),
        palette=np.array([colour for _, _, colour in _CLASSES], np.uint8),
        attribution="Cityscapes (Cordts et al. 2016), for non-commercial use",
        notes=count_note(dataset, split, len(pairs), _NUM_IMAGES[split]),
    )


def _pair(image: Path, labels: Path, kind: str) -> Pair:
    """Find an image's label: its label ids, or where they are missing its train ids."""
    folder = labels / image.parent.name
    start = f"{image.stem.removesuffix(_IMAGE_END)}_{kind}_"
    own, train = (folder / f"{start}{ids}.png" for ids in (_LABEL_IDS, _TRAIN_IDS))
    return Pair(image=image, mask=own if own.is_file() or not train.is_file() else train)


def _refuse_mistaken(dataset: str, pairs: Sequence[Pair]) -> None:
    """Say which other files lie where the labels should, if no label lies there."""
    if not pairs or any(pair.mask.is_file() for pair in pairs):
        return
    path = pairs[0].mask
    start = path.name.removesuffix(f"{_LABEL_IDS}.png")
    ends = {each.stem.removeprefix(start) for each in path.parent.glob(f"{start}*")}
    if found := [f"_{end}" for end in _MISTAKEN if end in ends]:
        raise UsageError(
            f"{dataset}: {printable(str(path))} does not exist, but files of the kind "
            f"{', '.join(found)} lie there. Classes are read from _{_LABEL_IDS}.png, which the "
            f"archive holds beside them, or from _{_TRAIN_IDS}.png, which cityscapesScripts' "
            "createTrainIdLabelImgs makes."
        )


def _mistaken(path: Path, what: str) -> FileError:
    return FileError(f"{printable(str(path))} holds {what}, and no label ids. {_REMEDY}")
