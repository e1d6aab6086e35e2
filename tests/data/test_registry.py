"""Datasets by name; no option is ignored in silence."""

from pathlib import Path
from typing import Any

import pytest
import torch

from autoseg.data import DATASETS, SyntheticStreets, build_dataset
from autoseg.errors import UsageError


def test_options_reach_the_synthetic_dataset() -> None:
    built = build_dataset(
        "synthetic", split="val", image_size=(24, 40), num_classes=5, length=3, seed=7
    )
    direct = SyntheticStreets(split="val", image_size=(24, 40), num_classes=5, length=3, seed=7)
    assert (len(built), built.num_classes, built.largest_size) == (3, 5, (24, 40))
    assert torch.equal(built[2].image, direct[2].image)
    assert torch.equal(built[2].target, direct[2].target)


def test_defaults_of_the_synthetic_dataset() -> None:
    sizes = {split: len(build_dataset("synthetic", split=split)) for split in ("train", "val")}
    assert sizes == {"train": 512, "val": 64}
    dataset = build_dataset("synthetic", split="test")
    assert (len(dataset), dataset.num_classes, dataset.largest_size) == (64, 12, (96, 128))
    assert dataset.ignore_index == 255
    assert dataset.attribution == ""


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    assert set(DATASETS) >= {"synthetic", "camvid"}
    with pytest.raises(UsageError, match=r"unknown dataset 'camvit'; did you mean 'camvid'\?"):
        build_dataset("camvit", split="train")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": (96, 128)}, r"camvid: image_size \(96, 128\) cannot be chosen"),
        ({"num_classes": 11}, r"camvid: num_classes 11 cannot be chosen.*belongs to the synthetic"),
        ({"length": 5}, "camvid: length 5 cannot be chosen"),
    ],
)
def test_camvid_refuses_what_its_files_decide(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_dataset("camvid", split="train", data_root=Path("unused"), **options)


def test_synthetic_refuses_a_folder() -> None:
    with pytest.raises(
        UsageError, match=r"data_root 'photos' has no meaning, .* dataset what lies there: folder"
    ):
        build_dataset("synthetic", split="train", data_root=Path("photos"))


def test_synthetic_does_not_mind_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOSEG_DATA", "/nowhere")
    assert isinstance(build_dataset("synthetic", split="train"), SyntheticStreets)


def test_camvid_takes_the_folder_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOSEG_DATA", "/elsewhere")
    with pytest.raises(UsageError, match="the data folder /nowhere does not exist"):
        build_dataset("camvid", split="train", data_root="/nowhere")
    with pytest.raises(UsageError, match="the data folder /elsewhere does not exist"):
        build_dataset("camvid", split="train")
