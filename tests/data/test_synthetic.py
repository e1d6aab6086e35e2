"""Scenes are a pure function of (seed, split, index), and hold what they promise."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from autoseg.data import Sample, SyntheticStreets
from autoseg.data.street.classes import PARENT, StreetClass
from autoseg.errors import UsageError

FORKS = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def _scenes(split: str = "train", **options: Any) -> SyntheticStreets:
    return SyntheticStreets(**{"split": split, "image_size": (24, 40), "length": 6, **options})


def _same(left: Sample, right: Sample) -> bool:
    return torch.equal(left.image, right.image) and torch.equal(left.target, right.target)


def _first(samples: list[Sample]) -> Sample:
    return samples[0]


def test_a_scene_depends_on_its_index_alone() -> None:
    forward, backward = _scenes(), _scenes(cache_mib=0)
    expected = [forward[index] for index in range(6)]
    np.random.default_rng(0).random()
    torch.manual_seed(3)
    assert all(_same(backward[index], expected[index]) for index in reversed(range(6)))


@FORKS
def test_a_scene_is_the_same_in_another_process() -> None:
    dataset = _scenes()
    elsewhere = list(DataLoader(dataset, num_workers=2, collate_fn=_first, batch_size=1))
    assert all(_same(dataset[index], elsewhere[index]) for index in range(6))


def test_a_longer_set_begins_with_the_shorter_one() -> None:
    short, long = _scenes(length=2), _scenes(length=6)
    assert all(_same(short[index], long[index]) for index in range(2))


def test_splits_seeds_and_indices_share_no_scene() -> None:
    images = [
        _scenes(split, seed=seed)[index].image.numpy().tobytes()
        for split in ("train", "val", "test")
        for seed in (0, 1)
        for index in range(6)
    ]
    assert len(set(images)) == 36


@pytest.mark.parametrize("num_classes", range(2, 13))
def test_fewer_classes_merge_into_their_parents(num_classes: int) -> None:
    full, merged = _scenes(), _scenes(num_classes=num_classes)
    assert merged.num_classes == num_classes
    assert merged.class_names == full.class_names[:num_classes]
    for index in range(6):
        target, merged_target = full[index].target, merged[index].target
        assert torch.equal(full[index].image, merged[index].image)
        for label in target.unique().tolist():
            expected = label
            while expected != 255 and expected >= num_classes:
                expected = int(PARENT[StreetClass(expected)])
            assert (merged_target[target == label] == expected).all()


@pytest.mark.parametrize("image_size", [(16, 16), (17, 50), (40, 23), (64, 200)])
def test_any_size_is_drawn(image_size: tuple[int, int]) -> None:
    dataset = _scenes(image_size=image_size)
    for image, target, _ in dataset:
        assert image.shape == (3, *image_size)
        assert target.shape == image_size
        assert len(target.unique()) >= 3
        assert image.float().std() > 5


def test_every_class_counts_and_none_dominates() -> None:
    dataset = SyntheticStreets(split="train", length=64)
    targets = torch.stack([sample.target for sample in dataset])
    valid = targets[targets != dataset.ignore_index]
    share = torch.bincount(valid, minlength=12) / len(valid)
    # The rarest class (a sign) has about 2 % of the pixels, the largest (road) about 25 %.
    assert float(share.min()) > 0.01
    assert float(share.max()) < 0.35
    present = torch.stack([(targets == index).flatten(1).any(1) for index in range(12)])
    assert float(present.float().mean(1).min()) > 0.3
    # Ignored pixels are few, but they occur.
    ignored = float((targets == dataset.ignore_index).float().mean())
    assert 0.001 < ignored < 0.04


def test_labels_change_where_colours_change() -> None:
    dataset = SyntheticStreets(split="val", length=16)
    at_borders, elsewhere = [], []
    for image, target, _ in dataset:
        step = (image[:, :, 1:].float() - image[:, :, :-1].float()).abs().mean(0)
        border = target[:, 1:] != target[:, :-1]
        at_borders.append(step[border])
        elsewhere.append(step[~border])
    # A CRF can follow borders only if they are seen: their colours differ several times more.
    assert torch.cat(at_borders).mean() > 2.5 * torch.cat(elsewhere).mean()


def test_colours_are_shared_between_classes() -> None:
    dataset = SyntheticStreets(split="train", length=32)
    images = torch.stack([sample.image for sample in dataset]).float().permute(1, 0, 2, 3)
    targets = torch.stack([sample.target for sample in dataset])
    # Mean colours of road, building, pavement, car, bus and pole lie within the spread of each:
    # a pixel of one could as well be one of the others.
    names = ("road", "building", "pavement", "car", "bus", "pole")
    colours = [images[:, targets == dataset.class_names.index(name)] for name in names]
    for one in colours:
        for other in colours:
            distance = (one.mean(1) - other.mean(1)).abs()
            assert (distance < 1.5 * one.std(1)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": (15, 40)}, r"image_size \(15, 40\) .* is too small .* at least \(16, 16\)"),
        ({"num_classes": 13}, "num_classes 13 must lie from 2 to 12"),
        ({"num_classes": 1}, "num_classes 1 must lie from 2 to 12"),
        ({"length": 0}, "length 0 must be at least 1"),
        ({"seed": -1}, "seed -1 must not be negative"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"synthetic: {message}"):
        _scenes(**options)
