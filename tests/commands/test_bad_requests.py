"""What search, retrain and others refuse before they make a run, and the messages a user meets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autoseg import evaluate, predict, retrain, search
from autoseg.architecture import Architecture
from autoseg.errors import FileError, UsageError


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (
            search,
            ["--space", "autodeplab"],
            r"unknown search space 'autodeplab'; did you mean 'auto",
        ),
        (
            search,
            ["--strategy", "darts", "--num-samples", "3"],
            r"--num-samples: --strategy darts does not read it; leave it out, or use --str",
        ),
        (
            search,
            ["--strategy", "random", "--population-size", "2"],
            r"--strategy evolution\|tpe\|predictor\|nsga2\.$",  # each once, by any estimator
        ),
        (
            search,
            ["--strategy", "random", "--reduction-factor", "3"],
            r"--strategy random\|evolution\|tpe\|predictor --pruner halving\|hyperband\.$",
        ),
        (
            search,
            ["--strategy", "random", "--estimator", "supernet", "--sample-steps", "3"],
            r"--strategy random\|[a-z2|]+ --estimator short\|speed\|finetuned\.$",
        ),
        (
            search,
            ["--strategy", "random", "--arch-lr", "0.1"],
            r"--arch-lr: --strategy random does not read it; leave it out, or use --strategy da",
        ),
        (
            search,
            ["--budget", "10m", "--arch-steps", "9"],
            r"--arch-steps and --budget: each says when the search ends; give one of them",
        ),
        (search, ["--budget", "10"], r"budget = '10': it must be a time above 0, a number with s,"),
        (search, ["--strategy", "dart"], r"unknown strategy 'dart'; did you mean 'darts' or 'dar"),
        (search, ["--dataset", "camvit"], r"unknown dataset 'camvit'; did you mean 'camvid'\?"),
        (search, ["--weight-Ir", "1"], r"did you mean '--weight-lr'\?"),
        (search, ["--space", "mine.toml"], r"mine\.toml does not exist"),
        (search, ["--crop-size", "999", "999"], r"larger than the data"),
        (
            retrain,
            ["--network", "icnet_resnet50", "--crop-size", "999", "999"],
            r"larger than the d",
        ),
        *(
            (command, [*given, "--device", "cpu", "--precision", "tf32"], r"tf32: cpu has no TF32")
            for command, given in ((search, ()), (retrain, ("--network", "unet")))
        ),
        (
            search,
            ["--device", "cpu", "--cuda-graph"],
            r"--cuda-graph: the search runs on cpu, which has no CUDA graphs; leave",
        ),
        (
            search,
            ["--image-size", "32", "48", "--train-length", "4"],
            r"crop_size \(32, 48\) leaves maps of one pixel at stride 32.*; use a crop of at least "
            r"64 on each side, and, as images of synthetic train are 32 x 48, --image-scale 2\.",
        ),
        (search, ["--resume"], r"no unfinished search under runs/"),
        (
            retrain,
            ["--network", "unet", "segnet_basic", "unet"],
            r"^unet and unet would be trained in one folder; name each network once",
        ),
        (retrain, ["--resume"], r"no unfinished retrain"),
        (retrain, [], r"no finished search under runs/.*python -m autoseg\.search"),
        (retrain, ["--network", "icnet50"], r"unknown network 'icnet50'; did you mean 'icnet_"),
        (retrain, ["--architecture", "none.json"], r"architecture file none\.json does not exist"),
        (evaluate, ["nowhere"], r"nowhere holds no run"),
        (predict, ["nowhere", "missing.png"], r"nowhere holds no run"),
    ],
)
def test_bad_requests_are_told_what_to_do(tmp_path, monkeypatch, command, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        command.main(arguments)
    assert not list(tmp_path.glob("runs/*/run.json"))


def test_an_architecture_may_not_share_its_folder_with_a_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Architecture.load("autodeeplab_paper").save(Path("UNet.json"))
    message = r"^UNet and unet would be trained in one folder; name each network once"
    with pytest.raises(UsageError, match=message):
        retrain.main(["--network", "unet", "--architecture", "UNet.json"])
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA")
@pytest.mark.parametrize("command", [search, retrain])
def test_no_cuda_where_it_was_asked_for(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"--device cuda: .*use --device cpu"):
        command.main(["--device", "cuda"])


@pytest.mark.parametrize("command", [search, retrain])
def test_labels_of_another_dataset_leave_no_dead_run(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "voc"
    data.mkdir()
    label = np.zeros((64, 64), np.uint8)
    label[7, 9] = 255
    for index in range(4):
        Image.new("RGB", (64, 64)).save(data / f"{index}.png")
        Image.fromarray(label if index == 3 else label * 0).save(data / f"{index}_label.png")
    names = "".join(f"{index}.png {index}_label.png\n" for index in range(4))
    for split in ("train", "val"):
        (data / f"{split}.txt").write_text(names)
    arguments = ["--dataset", "camvid", "--data-root", str(data), "--preset", "tiny"]
    arguments += ["--batch-size", "2", "--crop-size", "64", "64", "--image-scale", "1"]
    if command is retrain:
        arguments += ["--network", "unet"]
    with pytest.raises(FileError, match=r"3_label\.png: label 255 at row 7, column 9"):
        command.main(arguments)
    assert not (tmp_path / "runs").exists()
