"""What published datasets share: the card, batches, and what is said of missing files."""

import shutil

import numpy as np
import pytest
import torch

from autoseg.data import build_dataset
from autoseg.data.__main__ import main
from autoseg.data.loading import training_batches
from autoseg.data.transforms import Augmentation
from autoseg.errors import FileError, UsageError
from tests.data.published.archives import ARCHIVES, SIZE

NAMES = pytest.mark.parametrize("name", ARCHIVES)
SITES = {
    "voc": "host.robots.ox.ac.uk/pascal/VOC/voc2012",
    "cityscapes": "www.cityscapes-dataset.com",
    "coco": "cocodataset.org",
    "coco-voc": "cocodataset.org",
    "ade20k": "sceneparsing.csail.mit.edu",
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    return {name: write(tmp_path_factory.mktemp(name)) for name, write in ARCHIVES.items()}


@NAMES
def test_a_card_and_a_batch(name, roots, tmp_path, capsys):
    arguments = [name, "--data-root", str(roots[name]), "--out", str(tmp_path), "--num-samples"]
    assert main([*arguments, "0"]) == 0
    printed = capsys.readouterr().out
    train = build_dataset(name, split="train", data_root=roots[name])
    assert f"| train | {len(train)}      | {SIZE[0]} x {SIZE[1]}        | 3 " in printed
    assert f"{name}: val has 2 images here and" in printed or name == "coco-voc"
    augmentation = Augmentation(crop_size=(16, 24), scale_range=(1, 1))
    images, targets = next(training_batches(train, augmentation=augmentation, batch_size=2, seed=0))
    assert images.shape == (2, 3, 16, 24)
    classes = set(targets.unique().tolist()) - {train.ignore_index}
    assert classes <= set(range(train.num_classes))
    assert len(classes) > 1


@NAMES
def test_what_a_dataset_is(name, roots):
    train, val = (build_dataset(name, split=split, data_root=roots[name]) for split in SPLITS)
    assert train.class_names == val.class_names
    assert len(np.unique(train.palette, axis=0)) == len(set(train.class_names)) == train.num_classes
    assert train.largest_size == SIZE
    assert train.name == name
    assert train.attribution
    assert not {sample.name for sample in train} & {sample.name for sample in val}
    train.check_labels()
    copy = shutil.copytree(roots[name], roots[name].with_name(f"{name}-elsewhere"))
    moved = build_dataset(name, split="train", data_root=copy)
    assert moved.fingerprint() == train.fingerprint() != val.fingerprint()
    assert torch.equal(moved[1].target, train[1].target)


SPLITS = ("train", "val")


@pytest.mark.parametrize("name", SITES)
def test_missing_files_are_asked_for_where_they_are_given_out(name, roots, tmp_path, monkeypatch):
    monkeypatch.delenv("AUTOSEG_DATA", raising=False)
    with pytest.raises(UsageError, match=f"^{name}: no data folder was given. Exp.*{SITES[name]}"):
        build_dataset(name, split="train")
    with pytest.raises(
        UsageError, match=f"^{name}: {tmp_path} has no .*Expected in .*{SITES[name]} gives"
    ):
        build_dataset(name, split="train", data_root=tmp_path)
    with pytest.raises(UsageError, match=f"{name}: the labels of its test images are not public"):
        build_dataset(name, split="test", data_root=roots[name])
    with pytest.raises(UsageError, match=r"unknown split 'trian'; did you mean 'train'\?"):
        build_dataset(name, split="trian", data_root=roots[name])
    copy = shutil.copytree(roots[name], tmp_path / "copy")
    dataset = build_dataset(name, split="train", data_root=copy)
    dataset._pairs[1].mask.unlink()
    with pytest.raises(FileError, match=r"does not exist: 1 of the \d images and labels of "):
        build_dataset(name, split="train", data_root=copy)
