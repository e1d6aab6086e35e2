"""The choice of a network as a record keeps it."""

import json
import warnings
from dataclasses import fields

import pytest
import torch

from autoseg import evaluate, retrain
from autoseg.architecture import Architecture
from autoseg.commands.networks import NetworkChoice, labels_of, load_network, retrained_choice
from autoseg.crf import CRFSettings
from autoseg.data import normalise
from autoseg.errors import FileError, UsageError
from autoseg.networks import CRF_RNN, NetworkWithCRF
from autoseg.runs import Run, find_runs, load_record, load_weights
from autoseg.runs.record import save_record
from autoseg.runs.weights import save_weights
from tests.commands.random_run import make_run
from tests.fuzzing import damaged_bytes, damaged_json, require_clean_refusals

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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": "x"}, r"network\.width is 'x'; it must be a number from 0\.001 to 100"),
        ({"width": 1e9}, r"network\.width is 1000000000\.0; it must be a number"),
        ({"label": None}, r"network\.label is None; it must be a text"),
        ({"filter_multiplier": 2**40}, r"network\.filter_multiplier is \d+; it must be"),
        ({"drop_path_keep": 7}, r"network\.drop_path_keep is 7; it must be a number from 0 to 1"),
        ({"widht": 1}, r"unknown field of a network 'widht'; did you mean 'width'"),
        ({"architecture": {}}, r"network must have either a name or an architecture"),
        ({"encoder": "resnet50"}, r"encoder .resnet50. was given for the fixed network"),
        ({"encoder": 3}, r"network\.encoder is 3; it must be a text"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        NetworkChoice.from_dict({**FIXED.to_dict(), **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": None}, r"config\.network is None; it must be an object"),
        ({"network": {"label": "a", "name": "unett"}}, r": unknown network 'unett'"),
        (
            {"network": {"label": "../x", "name": "unet"}},
            r": network label '\.\./x' cannot",
        ),
        ({"class_names": []}, r"config\.class_names has 0 names"),
        ({"class_names": "abcd"}, r"config\.class_names is 'abcd'; it must be a list"),
        ({"class_names": ["x"] * 20_000}, r"config\.class_names has 20000 names"),
        ({"palette": [[1, 2, 3]]}, r"config\.palette must have one colour for each class"),
        ({"palette": [[1, 2, 256]] * 4}, r"config\.palette\[0\]\[2\] is 256; it must be a whole"),
        ({"image_scale": None}, r"config\.image_scale is None; it must be a number"),
        ({"image_scale": 0}, r"config\.image_scale is 0; it must be a number"),
    ],
)
def test_a_record_of_no_network_names_file_and_field(tmp_path, changes, message):
    folder = make_run(tmp_path / "run")
    record = load_record(folder)
    save_record(folder, {**record, "config": {**record["config"], **changes}})
    with pytest.raises(FileError, match=rf"run\.json.*{message}"):
        load_network(folder)
    del record["config"]["image_scale"]
    save_record(folder, record)
    with pytest.raises(
        FileError, match=r"run\.json is not a record .* no field 'config\.image_scale'"
    ):
        labels_of(folder)


def test_damage_of_any_kind_to_a_record_is_refused_with_its_name(tmp_path):
    folder = make_run(tmp_path / "run")
    path = folder / "run.json"
    whole, record = path.read_bytes(), {**load_record(folder), "format_version": 1}

    def read(path):
        with warnings.catch_warnings(action="ignore"):  # of a checksum that is gone
            retrained_choice(folder)
            labels_of(folder)
            find_runs(tmp_path)

    require_clean_refusals(read, path, damaged_bytes(whole, count=1000))
    # Without a checksum, as of the first format, the schema alone decides.
    changed = damaged_json(record, count=1000)
    require_clean_refusals(read, path, (json.dumps(each).encode() for each in changed))


def test_whole_weights_of_another_network_are_told_in_one_line(tmp_path):
    folder = make_run(tmp_path / "run")
    weights = load_weights(folder)
    name, tensor = next(item for item in weights.items() if item[1].ndim == 4)
    for changed, message in (
        ({**weights, name: tensor[:1]}, rf"{name} is \(1, .* where the network has \(\d+, "),
        (
            {**weights, "extra": tensor.clone()},
            r"it has extra, and the network has not\. Restore both",
        ),
        ({"a": tensor}, r"it lacks .* \(and \d+ more\)\. Restore both from one copy"),
    ):
        save_weights(folder, "best", changed, metadata={})
        with pytest.raises(
            FileError, match=rf"best\.safetensors is not of the network .*{message}"
        ):
            load_network(folder)


@pytest.mark.slow
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
    config = {
        "network": choice.to_dict(),
        "class_names": ["a", "b", "c", "d"],
        "image_scale": 1.0,
    }
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


@pytest.mark.slow
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
