"""An option that nothing would read is refused: in silence it would seem to have an effect."""

import importlib
from pathlib import Path

import pytest
from PIL import Image

from autoseg import compare, evaluate, predict, retrain, user_imports
from autoseg.errors import UsageError
from autoseg.export import __main__ as export
from tests.commands.test_compare import QUICK, make_run

cost, data, networks = (
    importlib.import_module(f"autoseg.{room}.__main__") for room in ("cost", "data", "networks")
)

NO_RUN = (
    "no run is compared, and networks without one have random weights, which are not scored; leave "
    "it out, or name a retrained network's run."
)
COSTS = ["--networks", "segnet_basic", "--width", "0.05", "--no-crf", *QUICK[2:]]
SMALL = ["--network", "segnet_basic", "--image-size", "24", "32", "--train-length", "4"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(user_imports, "_imported", [])
    make_run(Path("runs/set/segnet"))
    Image.new("RGB", (8, 8)).save("photo.png")
    Path("model.py").write_text("from torch import nn\nNET = nn.Conv2d(3, 2, 1)\n")
    Path("images").mkdir()


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (compare, [*COSTS, "--runs", "none", "--weights", "last"], f"--weights: {NO_RUN}"),
        (
            compare,
            [*COSTS, "--runs", "none", "--weights", "best", "--limit", "3"],
            f"--weights, --limit: {NO_RUN}",
        ),
        (compare, [*COSTS, "--runs", "none", "--trimap", "2"], f"--trimap: {NO_RUN}"),
        (compare, [*COSTS, "--runs", "none", "--calibration"], f"--calibration: {NO_RUN}"),
        (
            compare,
            [*COSTS, "--data-root", "images"],
            "--data-root: nothing is read from files, as all scenes of the synthetic dataset are "
            "drawn; leave it out, or name a --dataset.",
        ),
        (
            compare,
            [*COSTS, "--filter-multiplier", "8"],
            "--filter-multiplier: only the cells of an architecture have it, and --networks names "
            "none; leave it out.",
        ),
        (
            compare,
            ["--no-crf", "--num-iterations", "0", "--crf-mode", "fast"],
            "--num-iterations, --crf-mode: --no-crf measures no CRF; leave one or the other out.",
        ),
        (
            compare,
            ["--scales", "1"],
            "--scales: by itself 1 is the image at its own size, which every network is scored on; "
            "name other factors as well, or leave it out.",
        ),
        (
            compare,
            ["--calibration-images", "8"],
            "--calibration-images: only int8 has ranges to find; add --dtype int8 with --backend "
            "openvino or onnxruntime, or leave it out.",
        ),
        (
            export,
            ["runs/set/segnet", "--data-root", "images"],
            "--data-root: images are looked at for --format onnx-int8 alone; add it, or leave this "
            "out.",
        ),
        (
            compare,
            ["--backend", "onnxruntime", "--memory-format", "channels-last"],
            "--memory-format channels-last: --backend onnxruntime has an order of its own; leave "
            "it out.",
        ),
        (
            evaluate,
            ["runs/set/segnet", "--spatial-weight", "0"],
            "--spatial-weight: no CRF is scored; add --crf, or leave it out.",
        ),
        (
            predict,
            ["runs/set/segnet", "photo.png", "--crf-mode", "local"],
            "--crf-mode: no CRF refines the prediction; add --crf, or leave it out.",
        ),
        (
            predict,
            ["runs/set/segnet", "photo.png", "--opacity", "0.5", "--legend"],
            "--opacity, --legend: no overlay is written; add --overlay, or leave it out.",
        ),
        (
            cost,
            ["model.py:NET", "--num-classes", "5"],
            "--num-classes: a network of your own has the classes that it is built with; leave it "
            "out.",
        ),
        (
            data,
            ["init", "images", "--data-root", "x", "--out", "card", "--num-samples", "4"],
            "--data-root, --out, --num-samples: init writes a dataset.toml, and makes no card; "
            "leave it out.",
        ),
        (
            networks,
            ["--network", "resnet18", "--num-classes", "5", "--size", "64", "64"],
            "--num-classes, --size: encoders alone are listed, each as a classifier of 1000 "
            "classes at the size that its MACs were published at; leave it out.",
        ),
        (
            retrain,
            [*SMALL, "--filter-multiplier", "20", "--drop-path-keep", "0.9"],
            "--filter-multiplier, --drop-path-keep: only the cells of an architecture have it, and "
            "none is trained; leave it out, or name one with --architecture.",
        ),
        *(
            (
                retrain,
                [*SMALL, "--overfit", "2", option, "0.5"],
                "--overfit 2 trains on whole images without augmentation and validates on the same "
                f"ones; leave {option} out.",
            )
            for option in ("--class-uniform", "--category-cap", "--colour-jitter", "--cutmix")
        ),
    ],
)
def test_it_is_refused_with_what_to_do(command, arguments, message):
    before = sorted(Path().rglob("*"))
    with pytest.raises(UsageError) as caught:
        command.main(arguments)
    assert str(caught.value) == message
    assert sorted(Path().rglob("*")) == before
