"""From a folder of grey images to a retrained network, its doubts and its predictions."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest
from PIL import Image

from autoseg import predict, retrain
from autoseg.data.labels import read_labels
from autoseg.errors import UsageError
from autoseg.trained import RetrainedNetwork
from tests.data.folder.drawing import grey, save

pytestmark = pytest.mark.usefixtures("figures_of_one_pixel")

SIZE = (32, 40)
QUICK = ["--network", "icnet_resnet50", "--width", "0.125", "--num-steps", "2", "--device", "cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write grey noise with a cell of one pixel in each image, which nobody learns in two steps."""
    root = tmp_path_factory.mktemp("cells")
    for number in range(6):
        labels = np.zeros(SIZE, np.uint8)
        labels[number, number] = 255
        save(root / f"images/{number}.png", grey(number, SIZE))
        save(root / f"masks/{number}_mask.png", labels)
    entries = [
        f'[[classes]]\nname = "{name}"\nvalue = {value}\ncolour = {colour}\n'
        for name, value, colour in (("glass", 0, [1, 2, 3]), ("cell", 255, [250, 200, 10]))
    ]
    (root / "dataset.toml").write_text("\n".join(entries))
    return root


@pytest.fixture(scope="module")
def command(folder, tmp_path_factory):
    """Retrain a network; return its folder and what was printed, on both streams."""
    out = tmp_path_factory.mktemp("runs") / "set"
    arguments = ["--dataset", "folder", "--data-root", str(folder), "--out", str(out)]
    printed, said = io.StringIO(), io.StringIO()
    with redirect_stdout(printed), redirect_stderr(said):
        assert retrain.main([*arguments, *QUICK]) == 0
    return out, printed.getvalue(), said.getvalue()


@pytest.fixture(scope="module")
def retrained(command):
    return command[0]


def test_what_was_found_and_what_is_doubtful_is_said(command):
    _, printed, said = command
    lines = said.splitlines()
    assert "retrain: images/ and masks/: 5 train, 1 val; images are grey" in lines
    constant = 1279 / 1280 / 2
    assert any(
        line.startswith(f"retrain: val mIoU without a network: {constant:.4f} by glass everywhere")
        for line in lines
    )
    assert any(
        line.startswith("retrain: train: 99.9% of the labelled pixels are glass; ")
        for line in lines
    )
    (doubt,) = [line for line in printed.splitlines() if "doubtful" in line]
    assert doubt.startswith("icnet_resnet50: doubtful: it")


def test_a_record_holds_names_colours_channels_and_doubts(retrained):
    run = RetrainedNetwork.open(retrained)
    assert run.class_names == ("glass", "cell")
    assert run.palette.tolist() == [[1, 2, 3], [250, 200, 10]]
    assert run.normalisation.num_channels == 1
    assert run.record["baselines"]["dominant_class"] == "glass"
    doubt = run.record["results"]["doubt"]
    log = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert doubt == log[-1]["val_doubt"]
    assert doubt.startswith("it")


def test_predictions_show_names_and_colours(folder, retrained, tmp_path):
    out = tmp_path / "out"
    assert (
        predict.main([str(retrained), str(folder / "images"), "--overlay", "--out", str(out)]) == 0
    )
    assert (out / "classes.txt").read_text() == "0 glass 1 2 3\n1 cell 250 200 10\n"
    assert read_labels(out / "3.png").labels.shape == SIZE
    with Image.open(out / "3_overlay.png") as picture:
        assert picture.mode == "RGB"
        assert picture.height > SIZE[0]


def test_other_images_are_refused_when_a_run_goes_on(folder, retrained, tmp_path):
    save(tmp_path / "images/a.png", grey(0, SIZE))
    save(tmp_path / "images/b.png", grey(1, SIZE))
    for name in "ab":
        save(tmp_path / f"masks/{name}.png", np.eye(*SIZE, dtype=np.uint8))
    arguments = ["--resume", "--out", str(retrained), "--data-root", str(tmp_path)]
    with pytest.raises(UsageError, match=r"was started on other images: train was 5 images"):
        retrain.main(arguments)
