"""The sanity check of the networks at tiny sizes: scores by another road, going on, refusals."""

import csv
import importlib
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.architecture import Architecture
from autoseg.data import build_dataset
from autoseg.errors import UsageError
from autoseg.networks import NETWORKS, build_network
from autoseg.networks.fcn import FCN
from autoseg.runs import load_metrics
from tests.one_pixel import one_pixel_figures
from tests.stop_after import StopAfter

QUICK = [
    *("--num-steps", "3", "--num-images", "2", "--image-size", "16", "24"),
    *("--device", "cpu", "--out", "out", "--runs", "runs"),
]


@pytest.fixture
def module(monkeypatch):
    """Import a module of the benchmark by name."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def overfit(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module("overfit"), "GRIDS", ())  # each takes a second
    return module("overfit")


def rows():
    with Path("out/overfit.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_network_is_checked(module):
    names = module("overfit_check.setting").NAMES
    assert names == (*NETWORKS, "autodeeplab_paper")


@pytest.mark.slow
def test_table_record_and_picture(overfit, capsys, monkeypatch):
    monkeypatch.setattr(overfit, "GRIDS", ((8, 4),))
    # The curves of a training are drawn in its own tests.
    monkeypatch.setattr("autoseg.commands.retrain.draw_retraining", lambda *_, **__: None)
    names = ["segnet_basic", "autodeeplab_paper"]
    assert overfit.main(["--networks", *names, *QUICK, "--goal", "0.99"]) == 1
    assert [row["network"] for row in rows()] == names
    for row in rows():
        run = Path("runs") / row["network"] / row["network"]
        last = load_metrics(run)[-1]
        # The training validates with the same weights by another function.
        assert float(row["miou"]) == pytest.approx(last["val_miou"], abs=1e-9)
        assert float(row["pixel_accuracy"]) == pytest.approx(last["val_pixel_accuracy"], abs=1e-9)
        assert (row["num_steps"], row["is_passed"], row["failure"]) == ("3", "False", "")
        assert float(row["cpu_seconds"]) > 0
        # Untrained to speak of: near the entropy of 12 classes.
        assert float(row["cross_entropy"]) == pytest.approx(math.log(12), abs=0.4)
    sizes = [
        build_network("segnet_basic", num_classes=12, width=0.125),
        build_network(
            Architecture.load("autodeeplab_paper"), num_classes=12, width=0.125, filter_multiplier=8
        ),
    ]
    for row, network in zip(rows(), sizes, strict=True):
        assert int(row["num_params"]) == sum(p.numel() for p in network.parameters())
    record = json.loads(Path("out/overfit.json").read_text())
    assert record["rows"][0]["miou"] == float(rows()[0]["miou"])
    assert record["settings"]["overfit"] == 2
    assert record["command"].startswith("python benchmarks/overfit.py --networks segnet_basic")
    document = Path("out/overfit.md").read_text()
    assert "0 of 2 networks reach a training mIoU of 99 % on 2 images." in document
    assert re.search(r"of the grid: [\d.]+ % for 2 x 2", document)
    assert document in capsys.readouterr().out
    assert Path("out/overfit.png").stat().st_size > 5000


@pytest.mark.slow
@one_pixel_figures()
def test_a_second_call_trains_nothing_again(overfit, module, monkeypatch):
    names = ["--networks", "segnet_basic", *QUICK]
    overfit.main(names)
    before = rows()

    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(module("overfit_check.training"), "run_retrain", refuse)
    overfit.main(names)
    assert rows() == before
    # Another goal needs no other training.
    assert overfit.main([*names, "--goal", "0.001"]) == 0
    assert rows()[0]["is_passed"] == "True"
    with pytest.raises(UsageError, match=r"trained with num_steps = 3, not 4; name another folder"):
        overfit.main([*names, "--num-steps", "4"])


@pytest.mark.nightly  # 7 s; how the training itself is stopped is tested with it
def test_a_stopped_check_goes_on_where_it_was(overfit, monkeypatch, capsys):
    names = ["--networks", "segnet_basic", "icnet_pruned", *QUICK]
    with monkeypatch.context() as patched:
        patched.setattr("autoseg.commands.retrain.StopRequest", StopAfter)
        StopAfter.asked = 7  # one question before each network, one before each step
        assert overfit.main(names) == 130
    assert "Go on: give the same command again" in capsys.readouterr().out
    assert not Path("out").exists()
    assert Path("runs/segnet_basic/row.json").exists()
    assert not Path("runs/icnet_pruned/row.json").exists()
    overfit.main(names)
    first, second = rows()
    assert float(first["cpu_seconds"]) > 0
    assert second["cpu_seconds"] == ""  # of one part only: not told
    overfit.main(["--networks", "icnet_pruned", *QUICK, "--runs", "whole"])
    assert rows()[0]["miou"] == second["miou"]


@one_pixel_figures()
def test_a_network_that_diverges_is_a_row_that_says_why(overfit):
    names = ["--networks", "segnet_basic", *QUICK, "--learning-rate", "1e30"]
    assert overfit.main([*names, "--gradient-clip", "0"]) == 1
    (row,) = rows()
    assert (row["miou"], row["is_passed"]) == ("", "False")
    assert "with learning rate" in row["failure"]
    assert f"- segnet_basic: {row['failure']}" in Path("out/overfit.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--networks", "unett"], r"unknown network 'unett'; did you mean 'unet'\?"),
        (["--goal", "95"], r"--goal 95.0: a mean IoU lies in \(0, 1\]"),
        (["--num-images", "0"], r"batch_size = 0: it must be at least 1"),
    ],
)
def test_bad_requests_are_told_what_to_do(overfit, arguments, message):
    with pytest.raises(UsageError, match=message):
        overfit.main([*QUICK, *arguments])


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_have_the_stride_that_is_told(module, name):
    network = build_network(name, num_classes=3, width=0.125).eval()
    sizes = []
    for part in network.modules():
        if isinstance(part, nn.Conv2d) and part.out_channels == 3:
            part.register_forward_hook(lambda *call: sizes.append(call[2].shape[-1]))
    with torch.inference_mode():
        network(torch.randn(1, 3, 128, 128))
    if isinstance(network, FCN):  # its maps are those of an image with a border of zeros
        stride = list(network.upsample)[-1].stride[0]
    elif not sizes:  # DUC: its convolution has several logits for each class
        stride = 8
    else:
        # DeconvNet's maps are never smaller than 224 pixels.
        stride = max(1, 2 ** round(math.log2(128 / max(sizes))))
    told = module("overfit_check.setting").GRID_STRIDE.get(name)
    assert told == (None if stride in (4, 8) else stride)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_without_batch_norm_take_half_the_rate(module, name):
    setting = module("overfit_check.setting")
    network = build_network(name, num_classes=3, width=0.125)
    has_norm = any(isinstance(part, nn.BatchNorm2d) for part in network.modules())
    assert setting.learning_rate(name, 0.4) == (0.4 if has_norm else 0.2)


def test_a_request_has_the_steps_and_the_rate_of_its_network(module):
    training = module("overfit_check.training")
    settings = {"num_steps": 30, "validate_every": 30, "learning_rate": 0.4, "filter_multiplier": 8}
    wanted = {name: training.request_of(name, settings) for name in ("deconvnet_vgg16", "unet")}
    steps = {name: (own.num_steps, own.validate_every) for name, own in wanted.items()}
    assert steps == {"deconvnet_vgg16": (60, 60), "unet": (30, 30)}
    assert [own.learning_rate for own in wanted.values()] == [0.4, 0.2]


class Labels:
    """Images of which only the labels matter."""

    num_classes, ignore_index = 2, 255

    def __init__(self, *targets):
        self.targets = [torch.tensor(target) for target in targets]

    def __getitem__(self, index):
        return build_sample(self.targets[index])


def build_sample(target):
    sample = build_dataset("synthetic", split="train", length=1)[0]
    return sample._replace(target=target)


def test_a_grid_holds_what_is_not_finer_than_it(module):
    grid_miou = module("overfit_check.grid").grid_miou
    rows, columns = np.mgrid[:8, :12]
    halves, squares = (columns >= 6).astype(np.int64), (rows + columns) % 2
    # One cell a label pixel holds everything.
    assert grid_miou(Labels(squares), [0], stride=2, image_scale=2) == 1
    # A straight border is where two cells' logits cross.
    assert grid_miou(Labels(halves), [0], stride=8, image_scale=2) == 1
    # Of single pixels in cells of 8 x 8 a plane gets half right: 2 * 24 / (48 + 48 - 24) = 1 / 3.
    assert grid_miou(Labels(squares), [0], stride=16, image_scale=2) < 0.45
    # Ignored pixels do not count.
    halves[:, 0] = 255
    assert grid_miou(Labels(halves), [0], stride=8, image_scale=2) == 1


def test_wrong_pixels_are_red_in_the_picture(module):
    draw_overfit = module("overfit_check.figure").draw_overfit
    images = build_dataset("synthetic", split="train", image_size=(16, 20), length=2)
    pred = torch.stack([images[index].target for index in range(2)])
    pred[pred == 255] = 3  # what is ignored is not wrong
    pred[0, 5, 7] = (pred[0, 5, 7] + 1) % 12
    pred[1, 2, 19] = (pred[1, 2, 19] + 1) % 12
    figure = draw_overfit(images, {"unet": pred}, titles={"unet": "unet, 99.0"})
    first, second = (axes for axes in figure.axes if axes.images)
    assert (first.get_title(), second.get_title()) == ("images, and their labels", "unet, 99.0")
    panel = second.images[0].get_array()
    assert panel.shape == (2 * 16 + 1, 2 * 20 + 1, 3)
    red = {tuple(place) for place in np.argwhere((panel[17:] == (213, 94, 0)).all(axis=2))}
    assert red == {(5, 7), (2, 21 + 19)}
    photographs = np.asarray(first.images[0].get_array())[:16, 21:]
    assert np.array_equal(photographs, images[1].image.permute(1, 2, 0).numpy())
