"""The choice of a network as a record keeps it."""

import json
from dataclasses import fields

import pytest
import torch

from autoseg import evaluate, retrain
from autoseg.architecture import Architecture
from autoseg.crf import CRFSettings
from autoseg.data import normalise
from autoseg.errors import UsageError
from autoseg.jobs.networks import NetworkChoice, load_network
from autoseg.networks import CRF_RNN, NetworkWithCRF
from autoseg.runs import Run, load_record

FIXED = NetworkChoice(label="icnet_resnet50", name="icnet_resnet50", width=0.125)


def searched():
    return NetworkChoice(
        label="searched",
        architecture=Architecture.load("autodeeplab_paper"),
        width=0.125,
        filter_multiplier=4,
    )


@pytest.mark.parametrize("choice", [FIXED, searched()], ids=lambda choice: choice.label)
@pytest.mark.parametrize("has_crf", [False, True])
def test_a_record_builds_the_same_choice(choice, has_crf):
    if has_crf:
        choice = choice.with_crf_layer()
        assert choice.label.endswith("+crf")
    values = json.loads(json.dumps(choice.to_dict()))
    assert NetworkChoice.from_dict(values) == choice
    # Records of before the layer have no such entry, and need none.
    assert ("crf_layer" in values) == has_crf


@pytest.mark.parametrize("label", ["../../x", "/tmp/x", "..", "", "a\x00b", "..\\x", "\ud800"])
def test_a_label_that_leads_out_of_the_folder_is_refused(label):
    values = {**FIXED.to_dict(), "label": label}
    with pytest.raises(UsageError, match=r"network label .* cannot be the name of a run folder"):
        NetworkChoice.from_dict(values)


def test_an_architecture_file_of_any_name_is_trained_inside_out(tmp_path, monkeypatch):
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    Architecture.load("autodeeplab_paper").save("...json")  # its stem is ".."
    sizes = ["--image-size", "48", "56", "--train-length", "2", "--crop-size", "48", "48"]
    small = ["--filter-multiplier", "2", "--width", "0.1", "--val-images", "1"]
    steps = ["--num-steps", "1", "--batch-size", "1"]
    retrain.main(["--architecture", "...json", "--out", "runs/a", *sizes, *small, *steps])
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]
    assert [path.parent.name for path in inside.glob("runs/a/*/run.json")] == ["run"]


def test_all_that_the_crf_starts_from_is_recorded():
    recorded = json.loads(json.dumps(FIXED.with_crf_layer().to_dict()))["crf_layer"]
    assert set(recorded) == {field.name for field in fields(CRFSettings)}
    assert recorded["subsample_above"] == CRF_RNN.subsample_above
    assert recorded["normalisation"] == "after"


def test_a_record_that_names_less_of_the_crf_means_what_was_the_case_then():
    values = FIXED.with_crf_layer().to_dict()
    named = ("bilateral_weight", "bilateral_xy_std", "bilateral_rgb_std", "spatial_weight")
    named += ("spatial_xy_std", "num_iterations", "mode")
    values["crf_layer"] = {name: values["crf_layer"][name] for name in named}
    assert NetworkChoice.from_dict(values) == FIXED.with_crf_layer()


def test_a_run_with_a_crf_is_built_again_and_sees_the_image_file(tmp_path):
    choice = FIXED.with_crf_layer()
    torch.manual_seed(0)
    network = choice.build(4).eval()
    assert isinstance(network, NetworkWithCRF)
    with torch.no_grad():
        network.crf.bilateral_weight.sub_(1.5)  # learnt: below 0
    config = {"network": choice.to_dict(), "class_names": ["a", "b", "c", "d"]}
    with Run.create(tmp_path / "run", kind="retrain", command=["x"], config=config, seed=0) as run:
        run.save_weights("best", network.state_dict(), metadata={})
        run.finish()

    loaded = load_network(tmp_path / "run")

    pixels = torch.randint(256, (1, 3, 17, 20), dtype=torch.uint8)
    with torch.no_grad():
        result = loaded(normalise(pixels))
        assert torch.equal(result, network(normalise(pixels)))
        # The images are the dataset's: normalised as it does, undone as the layer does.
        expected = network.crf(network.network(normalise(pixels)), pixels)
    # The lattice may gain or lose a cell by the rounding of a colour, at some 1e-5.
    torch.testing.assert_close(result.exp(), expected, rtol=0, atol=1e-3)


def test_the_commands_train_and_score_network_and_crf_together(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    sizes = ["--image-size", "48", "56", "--train-length", "4", "--crop-size", "48", "48"]
    steps = ["--num-steps", "2", "--batch-size", "2", "--validate-every", "1", "--val-images", "1"]
    network = ["--network", "icnet_resnet50", "--crf-layer"]
    assert retrain.main([*network, *sizes, *steps, "--out", "runs/a"]) == 0
    assert "icnet_resnet50+crf: val mIoU" in capsys.readouterr().out

    folder = tmp_path / "runs" / "a" / "icnet_resnet50+crf"
    trained = load_network(folder, which="last")
    assert isinstance(trained, NetworkWithCRF)
    for name in ("bilateral_weight", "spatial_weight"):
        learnt, start = trained.crf.get_parameter(name), getattr(CRF_RNN, name)
        assert (learnt != start).any()
    assert evaluate.main([str(folder), "--crf"]) == 0
    stored = load_record(folder)["results"]["evaluation_val"]
    assert f"mIoU {stored['mean_iou']:.4f}" in capsys.readouterr().out

    with pytest.raises(UsageError, match="was started with crf_layer = yes, not no"):
        retrain.main(["--resume", "--no-crf-layer", "--out", "runs/a"])
