"""The retrain command hands the loss that the user asked for to the training."""

import json

import pytest

from autoseg import retrain
from autoseg.errors import UsageError
from autoseg.runs import load_record

pytestmark = pytest.mark.usefixtures("figures_of_one_pixel")

ARGUMENTS = [
    *("--network", "unet", "--width", "0.02", "--num-steps", "1", "--batch-size", "2"),
    *("--image-size", "32", "48", "--train-length", "2", "--crop-size", "32", "32"),
    *("--val-images", "1", "--out", "run"),
]


def test_the_loss_and_its_options_arrive(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = [
        *("--loss", "focal", "dice", "--focal-gamma", "1.5"),
        *("--class-weights", "median_frequency"),
        *("--batch-norm", "per-device"),
    ]
    assert retrain.main([*ARGUMENTS, *asked]) == 0
    assert capsys.readouterr().err.count("all images of a batch, so that this is the same as") == 1
    record = load_record(tmp_path / "run" / "unet")
    assert record["loss"]["terms"] == {"focal": {"gamma": 1.5}, "dice": {}}
    names = record["config"]["class_names"]
    assert list(record["loss"]["class_weights"]) == names
    for folder in ("run", "run/unet"):
        config = json.loads((tmp_path / folder / "run.json").read_text())["config"]
        assert config["loss"] == ["focal", "dice"]
        assert config["class_weights"] == "median_frequency"
        assert config["focal_gamma"] == 1.5
        assert config["ohem_threshold"] is None


def test_frozen_batch_norms_need_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^--batch-norm frozen: .* name a file with --weights"):
        retrain.main([*ARGUMENTS, "--batch-norm", "frozen"])
    assert not list(tmp_path.iterdir())


def test_resuming_keeps_the_loss_and_refuses_another(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert retrain.main([*ARGUMENTS, "--loss", "lovasz"]) == 0
    assert retrain.main(["--resume", "--out", "run"]) == 0
    assert "the same as synced" not in capsys.readouterr().err
    assert load_record(tmp_path / "run" / "unet")["loss"]["terms"] == {"lovasz": {}}
    message = r"run was started with loss = lovasz, not dice; leave --loss out"
    with pytest.raises(UsageError, match=message):
        retrain.main(["--resume", "--out", "run", "--loss", "dice"])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--loss", "dise"], r"did you mean 'dice'\?"),
        (["--focal-gamma", "1"], r"only the loss focal uses it, and the loss is cross_entropy;"),
        (["--class-weights", "segnet_camvid"], r"Use median_frequency or median_frequency_present"),
    ],
)
def test_what_cannot_work_is_refused_before_a_folder_is_made(tmp_path, monkeypatch, asked, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        retrain.main([*ARGUMENTS, *asked])
    assert list(tmp_path.iterdir()) == []
