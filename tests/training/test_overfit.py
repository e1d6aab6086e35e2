"""The sanity check: which images, what the network sees of them, and that it says what it is."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from autoseg import retrain
from autoseg.config import RETRAIN_PRESETS
from autoseg.data import IMAGENET_MEAN, IMAGENET_STD, build_dataset
from autoseg.errors import UsageError
from autoseg.runs import load_metrics, load_record
from autoseg.trained import RetrainedNetwork
from autoseg.training import retraining_batches
from autoseg.training.overfit import (
    overfit_images,
    overfit_note,
    overfit_recipe,
    without_dropout_,
)
from tests.stop_after import StopAfter

pytestmark = pytest.mark.usefixtures("figures_of_one_pixel")

SIZE = ["--image-size", "24", "32"]
TINY = RETRAIN_PRESETS["tiny"]


def dataset(**options):
    return build_dataset("synthetic", split="train", image_size=(24, 32), **options)


def recipe(num_images, *, image_size=(24, 32), **changes):
    training = overfit_recipe(TINY, given={"overfit"}, num_images=num_images, image_size=image_size)
    return dataclasses.replace(training, **changes)


def test_the_images_are_evenly_spread():
    chosen = overfit_images(dataset(length=10), 4)
    # floor(i * 10 / 4)
    assert [sample.name for sample in chosen] == [f"train_0000{index}" for index in (0, 2, 5, 7)]


@pytest.mark.parametrize("start_step", [0, 7])
def test_each_batch_is_the_images_themselves(start_step):
    images = overfit_images(dataset(length=10), 3)
    expected = {}
    for sample in images:
        # ImageNet's normalisation, by numpy in double precision.
        pixels = sample.image.numpy().astype(np.float64).transpose(1, 2, 0) / 255
        values = (pixels - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
        expected[sample.target.numpy().tobytes()] = values.transpose(2, 0, 1)
    assert len(expected) == 3
    batches = retraining_batches(images, recipe(3), start_step=start_step)
    for _ in range(3):
        batch, target = next(batches)
        seen = [one.numpy().tobytes() for one in target]
        assert sorted(seen) == sorted(expected)
        for key, image in zip(seen, batch, strict=True):
            # float32 rounds values up to 2.7 to about 1e-7 of them, three times.
            assert np.abs(image.numpy() - expected[key]).max() < 2e-6


def test_the_image_scale_still_acts_and_nothing_is_cut_off():
    images = overfit_images(dataset(length=4), 2)
    batch, target = next(
        retraining_batches(images, recipe(2, image_size=(48, 64), image_scale=2.0))
    )
    assert batch.shape == (2, 3, 48, 64)
    doubled = {np.kron(one.target.numpy(), np.ones((2, 2), np.int64)).tobytes() for one in images}
    assert {one.numpy().tobytes() for one in target} == doubled


def test_the_batch_is_the_whole_set_where_the_recipe_allows_it():
    assert TINY.batch_size == 8
    assert [recipe(number).batch_size for number in (1, 8, 9)] == [1, 8, 8]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--overfit", "0"], r"--overfit must be at least 1, or none, not 0\."),
        (["--overfit", "-3"], r"--overfit must be at least 1, or none, not -3\."),
        (
            ["--overfit", "9", "--train-length", "8"],
            r"--overfit 9: the train split of synthetic has 8 images; use --overfit 8 or less",
        ),
        (
            ["--overfit", "2", "--crop-size", "16", "16"],
            r"--overfit 2 trains on whole images without augmentation .*; leave --crop-size out",
        ),
        (["--overfit", "2", "--scale-range", "1", "2"], r"leave --scale-range out"),
        (["--overfit", "2", "--val-images", "1"], r"leave --val-images out"),
        (
            ["--overfit", "2", "--batch-size", "4"],
            r"batch_size 4 is larger than the 2 sample\(s\) to draw from",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_a_folder_is_made(
    tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        retrain.main(["--network", "segnet_basic", *SIZE, *arguments])
    assert not list(tmp_path.glob("runs/*/run.json"))


def test_dropout_is_off_and_nothing_else_changes():
    network = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(4, 4, 1), nn.Sequential(nn.Dropout2d(0.1)))
    without_dropout_(network.train())
    images = torch.randn(3, 4, 5, 6)
    assert torch.equal(network(images), network[1](images))
    assert all(module.training for module in network.modules())


def test_a_network_with_dropout_is_trained_without_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    monkeypatch.setattr(nn.Dropout, "forward", lambda self, x: seen.append(self.p) or x)
    command = ["--network", "deeplab_largefov_vgg16", *SIZE, "--num-steps", "1"]
    batch = ["--crop-size", "24", "32", "--batch-size", "2", "--val-images", "2"]
    assert retrain.main([*command, *batch, "--out", "augmented"]) == 0
    assert set(seen) == {0.5}
    seen.clear()
    assert retrain.main([*command, "--overfit", "2", "--out", "check"]) == 0
    assert set(seen) == {0.0}


def test_the_note_counts_images():
    assert "scored on the 1 image of the train split" in overfit_note(1)
    assert "scored on the 3 images of the train split" in overfit_note(3)


def test_a_tiny_network_learns_one_image_by_heart(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    six = ["--num-classes", "6"]  # with all 12, some have a few pixels only, and take longer
    command = ["--network", "segnet_basic", "--overfit", "1", *SIZE, *six, "--num-steps", "120"]
    assert retrain.main([*command, "--validate-every", "60", "--out", "check"]) == 0
    printed = capsys.readouterr()
    record = load_record(Path("check/segnet_basic"))
    assert record["config"]["overfit"] == 1
    note = record["results"]["note"]
    assert note.startswith("a sanity check (--overfit 1), no result: scored on the 1 image")
    assert f"retrain: {note}" in printed.err
    assert f"this is {note}" in printed.out
    assert f"training mIoU {record['results']['best_val_miou']:.4f}" in printed.out
    assert "val mIoU" not in printed.out and "compare.py" not in printed.out
    assert record["results"]["best_val_miou"] > 0.95

    # The score again, by sets of pixels: the first image of 512 is the one that was learned.
    sample = dataset(num_classes=6)[0]
    mean, std = torch.tensor(IMAGENET_MEAN).view(3, 1, 1), torch.tensor(IMAGENET_STD).view(3, 1, 1)
    with torch.inference_mode():
        logits = RetrainedNetwork.open(Path("check/segnet_basic")).network("last")(
            ((sample.image / 255 - mean) / std)[None]
        )
    counted = sample.target != 255
    pred, target = logits.argmax(1)[0][counted], sample.target[counted]
    ious = [
        ((pred == k) & (target == k)).sum() / ((pred == k) | (target == k)).sum()
        for k in torch.cat([pred, target]).unique()
    ]
    last = load_metrics(Path("check/segnet_basic"))[-1]
    assert last["val_miou"] == pytest.approx(torch.stack(ious).mean().item(), abs=1e-6)


@pytest.mark.slow
def test_a_stopped_check_goes_on_with_the_same_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["--network", "segnet_basic", "--overfit", "2", *SIZE, "--num-steps", "6"]
    assert retrain.main([*command, "--out", "whole"]) == 0
    with monkeypatch.context() as patched:
        patched.setattr("autoseg.commands.retrain.StopRequest", StopAfter)
        StopAfter.asked = 4
        assert retrain.main([*command, "--out", "stopped"]) == 130
    with pytest.raises(UsageError, match=r"was started with overfit = 2, not 3"):
        retrain.main(["--resume", "--out", "stopped", "--overfit", "3"])
    assert retrain.main(["--resume", "--out", "stopped"]) == 0
    states = [
        RetrainedNetwork.open(Path(folder) / "segnet_basic").network("last").state_dict()
        for folder in ("whole", "stopped")
    ]
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
