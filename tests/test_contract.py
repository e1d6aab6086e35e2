"""The contract of datasets, and normalising."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autoseg.data import SPLITS, CamVid, SegmentationDataset, SyntheticStreets, normalise


def _synthetic(folder: Path, split: str) -> SegmentationDataset:
    return SyntheticStreets(split=split, image_size=(24, 40), length=3)


def _camvid(folder: Path, split: str) -> SegmentationDataset:
    rng = np.random.default_rng(SPLITS.index(split))
    lines = []
    for number in range(3):
        image, label = folder / f"{split}_{number}.png", folder / f"{split}_{number}_label.png"
        Image.fromarray(rng.integers(256, size=(24, 40, 3), dtype=np.uint8)).save(image)
        Image.fromarray(rng.integers(12, size=(24, 40), dtype=np.uint8)).save(label)
        lines.append(f"{image.name} {label.name}\n")
    (folder / f"{split}.txt").write_text("".join(lines))
    return CamVid(split=split, data_root=folder)


DATASETS = pytest.mark.parametrize("build", [_synthetic, _camvid])
Build = Callable[[Path, str], SegmentationDataset]


@DATASETS
@pytest.mark.parametrize("split", SPLITS)
def test_samples_keep_to_their_types_and_to_the_labels_of_the_dataset(
    build: Build, split: str, tmp_path: Path
) -> None:
    dataset = build(tmp_path, split)
    assert dataset.split == split
    assert len(dataset) == 3
    assert dataset.palette.shape == (dataset.num_classes, 3)
    assert len(np.unique(dataset.palette, axis=0)) == dataset.num_classes
    allowed = {*range(dataset.num_classes), dataset.ignore_index}
    for image, target, _ in dataset:  # ends: __getitem__ raises IndexError behind the last one
        assert image.dtype == torch.uint8
        assert target.dtype == torch.int64
        assert image.shape == (3, *target.shape)
        assert target.shape == dataset.largest_size == (24, 40)
        assert set(target.unique().tolist()) <= allowed


@DATASETS
def test_names_of_samples_differ(build: Build, tmp_path: Path) -> None:
    dataset = build(tmp_path, "train")
    assert len({dataset[index].name for index in range(3)}) == 3


@DATASETS
def test_changing_a_sample_does_not_change_the_dataset(build: Build, tmp_path: Path) -> None:
    dataset, untouched = build(tmp_path, "train"), build(tmp_path, "train")
    for _ in range(2):  # the first read fills the cache, the second one uses it
        image, target, _ = dataset[1]
        assert torch.equal(image, untouched[1].image)
        assert torch.equal(target, untouched[1].target)
        image.zero_()
        target.fill_(1)


@DATASETS
@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_that_does_not_exist_is_named(build: Build, index: int, tmp_path: Path) -> None:
    dataset = build(tmp_path, "val")
    with pytest.raises(
        IndexError, match=f"{dataset.name} val: sample {index} does not exist; .* 3 \\(0 to 2\\)"
    ):
        dataset[index]


@DATASETS
def test_an_unknown_split_is_refused_with_the_nearest_one(build: Build, tmp_path: Path) -> None:
    build(tmp_path, "train")
    with pytest.raises(ValueError, match=r"unknown split 'trian'; did you mean 'train'\?"):
        SyntheticStreets(split="trian")
    with pytest.raises(ValueError, match=r"unknown split 'vall'; did you mean 'val'\?"):
        CamVid(split="vall", data_root=tmp_path)


def test_normalise_is_the_closed_form() -> None:
    images = torch.randint(256, (2, 3, 4, 5), dtype=torch.uint8)
    mean = np.array([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    std = np.array([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    expected = (images.numpy().astype(np.float64) / 255 - mean) / std
    normalised = normalise(images)
    assert normalised.dtype == torch.float32
    # Values reach 2.6; float32 carries three roundings of 2**-24 each, amplified by 1 / 0.224.
    np.testing.assert_allclose(normalised.numpy(), expected, atol=3e-6)
    np.testing.assert_array_equal(normalise(images[1]).numpy(), normalised[1].numpy())


def test_normalise_refuses_floats_and_other_layouts() -> None:
    with pytest.raises(ValueError, match=r"images are torch.float32; expected uint8"):
        normalise(torch.zeros(1, 3, 2, 2))
    with pytest.raises(ValueError, match=r"images are \(4, 5, 3\); expected \(..., 3, H, W\)"):
        normalise(torch.zeros(4, 5, 3, dtype=torch.uint8))
