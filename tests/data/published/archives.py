"""The published datasets' archives in miniature, as they unpack, for the tests."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from autoseg.data.labels import default_palette
from autoseg.data.published.coco import VOC_NAMES
from autoseg.data.published.voc import CLASSES as VOC_CLASSES
from tests.data.folder.drawing import colour, save

SIZE = (32, 40)
NUM = {"train": 4, "val": 2}


def blocks(number: int, values, size=SIZE, dtype=np.uint8):
    """Draw a label of blocks of 8 x 8 pixels, whose values are drawn from a list."""
    rng = np.random.default_rng(number)
    coarse = rng.choice(np.array(values), size=(size[0] // 8, size[1] // 8))
    return coarse.repeat(8, axis=0).repeat(8, axis=1).astype(dtype)


def photograph(path: Path, number: int) -> None:
    """Save a colour image that no other number has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colour(number, SIZE)).save(path)


def voc(root: Path) -> Path:
    """Write VOCdevkit/VOC2012 with 4 train and 2 val images, whose objects have a border of 255."""
    devkit = root / "VOCdevkit/VOC2012"
    number = 0
    for split, count in NUM.items():
        names = [f"2007_{number + each:06}" for each in range(count)]
        for name in names:
            number += 1
            photograph(devkit / f"JPEGImages/{name}.jpg", number)
            label = blocks(number, range(21))
            label[8:10] = 255
            save(devkit / f"SegmentationClass/{name}.png", label, default_palette().tobytes())
        write(devkit / f"ImageSets/Segmentation/{split}.txt", "".join(f"{n}\n" for n in names))
    photograph(devkit / "JPEGImages/2008_000001.jpg", 50)
    return root


def write_sbd(path: Path, label) -> None:
    """Write a label as SBD does: a MATLAB 5 struct, compressed."""
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"Segmentation": label, "CategoriesPresent": np.unique(label)}
    savemat(path, {"GTcls": content}, do_compression=True)


def cityscapes(root: Path, labels="gtFine", splits=("train", "val")) -> Path:
    """Write leftImg8bit and gtFine: label ids, and the colours and instances beside them."""
    number = 0
    for split in splits:
        for _ in range(NUM.get(split, 2)):
            number += 1
            name = f"{split}/ulm/ulm_{number:06}_000019"
            photograph(root / f"leftImg8bit/{name}_leftImg8bit.png", number)
            ids = blocks(number, range(34))
            start = root / f"{labels}/{name}_{labels}"
            save(start.with_name(f"{start.name}_labelIds.png"), ids)
            save(start.with_name(f"{start.name}_color.png"), np.zeros((*SIZE, 4), np.uint8))
            instances = (ids.astype(np.uint16) * 1000) + 1
            save(start.with_name(f"{start.name}_instanceIds.png"), instances)
            write(start.with_name(f"{start.name}_polygons.json"), "{}")
    return root


THINGS = ("person", "couch", "kite", "tv", "dining table", "airplane", "motorcycle", "potted plant")
STUFF = ("wall-other-merged", "sky-other-merged")


def categories():
    """List COCO categories in no order: all of VOC's classes, a kite and some stuff."""
    theirs = {voc: coco for coco, voc in VOC_NAMES.items()}
    names = ["kite", *(theirs.get(name, name) for name in VOC_CLASSES[1:]), *STUFF]
    ids = [38, *range(1, 21), 199, 187]
    return [{"id": i, "name": name, "isthing": 1} for i, name in zip(ids, names, strict=True)]


def coco(root: Path) -> Path:
    """Write images, panoptic PNGs and JSON files; the first image has a crowd and a void."""
    numbers = {each["name"]: each["id"] for each in categories()}
    number = 0
    for split, count in NUM.items():
        images, annotations = [], []
        for place in range(count):
            number += 1
            name = f"{number:012}"
            photograph(root / f"{split}2017/{name}.jpg", number)
            images.append(
                {"id": number, "file_name": f"{name}.jpg", "height": SIZE[0], "width": SIZE[1]}
            )
            # Rows of 8: sky, a person, a crowd of people (or a tv), a kite; the last has no class.
            parts = ("sky-other-merged", "person", "person" if place == 0 else "tv", "kite")
            ids = [7, 300, 70_000 + number, 2**24 - 1]
            pixels = np.repeat(ids, 8)[:, None].repeat(SIZE[1], axis=1)
            pixels[:, -4:] = 0
            # One person alone is 288 pixels; the area is what COCO says it is.
            areas = [288, 1500 if place != 1 else 900, 288, 288]
            segments = [
                {"id": i, "category_id": numbers[part], "iscrowd": int(row == 2 and place == 0)}
                | {"area": area, "bbox": [0, 0, 1, 1]}
                for row, (i, part, area) in enumerate(zip(ids, parts, areas, strict=True))
            ]
            rgb = np.stack([pixels % 256, pixels // 256 % 256, pixels // 65536], axis=2)
            save(root / f"annotations/panoptic_{split}2017/{name}.png", rgb.astype(np.uint8))
            annotations.append(
                {"image_id": number, "file_name": f"{name}.png", "segments_info": segments}
            )
        content = {"images": images, "annotations": annotations, "categories": categories()}
        write(root / f"annotations/panoptic_{split}2017.json", json.dumps(content))
    return root


def ade20k(root: Path) -> Path:
    """Write ADEChallengeData2016, whose labels are 0 for other objects and 1 to 150."""
    base = root / "ADEChallengeData2016"
    rows = [f"{i}\t0.1\t9\t9\tthing {i}, item {i}" for i in range(1, 151)]
    rows[0] = "1\t0.1576\t11664\t1172\twall"
    rows[8:10] = ["9\t0.1\t1\t1\tdoor, double door", "10\t0.1\t1\t1\tdoor, hatch"]
    write(base / "objectInfo150.txt", "\n".join(["Idx\tRatio\tTrain\tVal\tName", *rows]) + "\n")
    number = 0
    for split, count in NUM.items():
        folder = {"train": "training", "val": "validation"}[split]
        for place in range(1, count + 1):
            number += 1
            name = f"ADE_{split}_{place:08}"
            photograph(base / f"images/{folder}/{name}.jpg", number)
            save(base / f"annotations/{folder}/{name}.png", blocks(number, range(151)))
    return root


def camvid(root: Path) -> Path:
    """Write stills and labels in colours: frames of all films, on both sides of their bounds."""
    train = ("0001TP_006690", "0001TP_008520", "0006R0_f00930", "0016E5_07957", "0016E5_08161")
    others = ("0016E5_07959", "0016E5_08159", "0001TP_008550", "Seq05VD_f00000")
    colours = np.array([(128, 128, 128), (192, 0, 128), (128, 0, 192), (64, 192, 128), (0, 0, 0)])
    for number, name in enumerate((*train, *others)):
        photograph(root / f"701_StillsRaw_full/{name}.png", number)
        label = colours[blocks(number, range(5))].astype(np.uint8)
        save(root / f"LabeledApproved_full/{name}_L.png", label)
    return root


def write(path: Path, text: str) -> None:
    """Write a text into a folder that need not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


ARCHIVES = {
    "camvid": camvid,
    "voc": voc,
    "cityscapes": cityscapes,
    "coco": coco,
    "coco-voc": coco,
    "ade20k": ade20k,
}
"""What writes each dataset's archive into an empty folder."""
