"""What can be scored without a network, on images whose answer is known."""

import math

import numpy as np
import pytest

from autoseg.data import FolderImages
from autoseg.evaluation import measure_baselines
from tests.data.folder.drawing import mask, save


def splits(root, images, masks):
    """Write the same pairs as train and as val, but for one pixel of the image."""
    for split in ("train", "val"):
        for number, (image, labels) in enumerate(zip(images, masks, strict=True)):
            pixels = image.copy()
            pixels[0, 0] = number + (100 if split == "val" else 0)
            save(root / f"images/{split}/{number}.png", pixels)
            save(root / f"masks/{split}/{number}.png", labels)
    return [FolderImages(split=split, data_root=root) for split in ("train", "val")]


@pytest.mark.parametrize("is_grey", [True, False])
def test_a_colour_that_tells_the_class_scores_1(tmp_path, is_grey):
    masks = [mask(0, 0, 0, 1, 255, size=(20, 20)), mask(0, 0, 0, 2, 2, size=(20, 20))]
    colours = np.array([[0] * 3, [90, 200, 10], [200, 90, 10], *[[7] * 3] * 253], np.uint8)
    images = [colours[labels][:, :, 0] if is_grey else colours[labels] for labels in masks]
    train, val = splits(tmp_path, images, masks)
    found = measure_baselines(train, val, val_indices=[0, 1])
    # One pixel of each picture is of no class's colour, and lies in the background.
    assert found.colour_miou > 0.99
    assert (found.constant_class, found.dominant_class) == ("class 0", "class 0")
    # Of 800 pixels 480 are class 0, 80 class 1, 160 class 2, and 80 have none.
    assert found.dominant_share == 480 / 720
    assert found.constant_miou == pytest.approx(480 / 720 / 3)


def test_a_colour_that_tells_nothing_scores_as_one_class(tmp_path):
    masks = [mask(0, 0, 1, size=(21, 20))] * 2
    train, val = splits(tmp_path, [np.full((21, 20), 50, np.uint8)] * 2, masks)
    found = measure_baselines(train, val, val_indices=[0, 1])
    assert found.colour_miou == found.constant_miou == pytest.approx(2 / 3 / 2)


def test_nothing_labelled_leaves_the_scores_open(tmp_path):
    masks = [mask(0, 1, size=(21, 20))]
    train, val = splits(tmp_path, [np.full((21, 20), 50, np.uint8)], masks)
    save(tmp_path / "masks/val/0.png", mask(255, size=(21, 20)))
    (tmp_path / "dataset.toml").write_text(
        'ignore_value = 255\n[[classes]]\nname = "a"\n[[classes]]\nname = "b"\n'
    )
    val = FolderImages(split="val", data_root=tmp_path)
    found = measure_baselines(train, val, val_indices=[0])
    assert math.isnan(found.constant_miou)
    assert math.isnan(found.colour_miou)
