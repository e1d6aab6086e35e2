"""A retrained network, opened from its run folder."""

import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from autoseg import evaluate, retrain
from autoseg.architecture import Architecture
from autoseg.data import normalise
from autoseg.errors import FileError, UsageError
from autoseg.networks import CRF_RNN, NetworkWithCRF
from autoseg.runs import Run, find_runs, load_record, load_weights
from autoseg.runs.record import save_record
from autoseg.runs.weights import save_weights
from autoseg.trained import NetworkChoice, RetrainedNetwork
from tests.fuzzing import as_json, damaged_bytes, damaged_json, require_clean_refusals
from tests.trained.random_run import SIZE, make_run

pytestmark = pytest.mark.usefixtures("figures_of_one_pixel")

FIXED = NetworkChoice(label="segnet_basic", name="segnet_basic", width=0.125)


def test_a_network_is_opened_once_and_knows_itself(tmp_path):
    folder = make_run(tmp_path / "run", num_classes=3)
    trained = RetrainedNetwork.open(folder)
    record = load_record(folder)
    (folder / "run.json").unlink()  # whatever follows was read
    assert trained.record == record
    assert trained.choice == FIXED
    assert trained.class_names == ("class 0", "class 1", "class 2")
    assert trained.palette.dtype == np.uint8
    assert trained.palette.tolist() == [[0, 10, 20], [40, 10, 20], [80, 10, 20]]
    assert trained.image_scale == 1.0
    dataset = trained.dataset("train")
    assert (len(dataset), dataset.split, dataset.largest_size) == (8, "train", SIZE)
    assert torch.equal(
        trained.network().state_dict()["classifier.weight"],
        load_weights(folder)["classifier.weight"],
    )
    with pytest.raises(UsageError, match=r"weights-last\.safetensors does not exist"):
        trained.network("last")


def test_the_one_network_of_a_retraining_needs_no_name(tmp_path):
    with Run.create(tmp_path / "set", kind="retrain-set", command=["x"], config={}, seed=0):
        pass
    with pytest.raises(UsageError, match="is a retrain-set run and holds no retrained network"):
        RetrainedNetwork.open(tmp_path / "set")
    first = make_run(tmp_path / "set" / "a")
    assert RetrainedNetwork.open(tmp_path / "set").folder == first
    second = make_run(tmp_path / "set" / "b")
    with pytest.raises(
        UsageError, match=f"several retrained networks; name one of {first}, {second}"
    ):
        RetrainedNetwork.open(tmp_path / "set")


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
        RetrainedNetwork.open(folder).network()
    del record["config"]["image_scale"]
    save_record(folder, record)
    with pytest.raises(
        FileError, match=r"run\.json is not a record .* no field 'config\.image_scale'"
    ):
        RetrainedNetwork.open(folder)


@contextmanager
def suppress_another_kind():
    """Let a record pass that is whole, and of another kind of run; the message names the folder."""
    try:
        yield
    except UsageError as error:
        if "holds no retrained network" not in str(error):
            raise


@pytest.mark.fuzz
def test_damage_of_any_kind_to_a_record_is_refused_with_its_name(memory_folder):
    folder = make_run(memory_folder / "run")
    path = folder / "run.json"
    whole, record = path.read_bytes(), {**load_record(folder), "format_version": 1}

    def read(path):
        with warnings.catch_warnings(action="ignore"):  # of a checksum that is gone
            with suppress_another_kind():
                _ = RetrainedNetwork.open(folder).palette
            find_runs(memory_folder)

    # Without a checksum, as of the first format, the schema alone decides.
    damaged = damaged_bytes(whole) | damaged_json(record).map(as_json)
    require_clean_refusals(read, path, damaged)


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
            RetrainedNetwork.open(folder).network()


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

    loaded = RetrainedNetwork.open(tmp_path / "run").network()

    pixels = torch.randint(256, (1, 3, 17, 20), dtype=torch.uint8)
    with torch.no_grad():
        result = loaded(normalise(pixels))
        assert torch.equal(result, network(normalise(pixels)))
        # The images are the dataset's: normalised as it does, undone as the layer does.
        expected = network.crf(network.network(normalise(pixels)), pixels)
    # The lattice may gain or lose a cell by the rounding of a colour, at some 1e-5.
    torch.testing.assert_close(result.exp(), expected, rtol=0, atol=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("short_split")
def test_the_commands_train_and_score_network_and_crf_together(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    sizes = ["--image-size", "48", "56", "--train-length", "4", "--crop-size", "48", "48"]
    steps = ["--num-steps", "2", "--batch-size", "2", "--validate-every", "1", "--val-images", "1"]
    network = ["--network", "icnet_resnet50", "--crf-layer", "--ema-decay", "0.9"]
    assert retrain.main([*network, *sizes, *steps, "--out", "runs/a"]) == 0
    assert "icnet_resnet50+crf: val mIoU" in capsys.readouterr().out

    folder = tmp_path / "runs" / "a" / "icnet_resnet50+crf"
    trained = RetrainedNetwork.open(folder).network("last")
    assert isinstance(trained, NetworkWithCRF)
    for name in ("bilateral_weight", "spatial_weight"):
        learnt, start = trained.crf.get_parameter(name), getattr(CRF_RNN, name)
        assert (learnt != start).any()
    # It is the average that is scored, the CRF's parameters among it.
    state = torch.load(folder / "checkpoint-00000002.pt", weights_only=True)["state"]
    for name, tensor in trained.state_dict().items():
        assert torch.equal(tensor, state["average"][f"module.{name}"]), name
    assert not torch.equal(trained.crf.compatibility, state["network"]["crf.compatibility"])
    assert evaluate.main([str(folder), "--crf"]) == 0
    stored = load_record(folder)["results"]["evaluation_val"]
    assert f"mIoU {stored['mean_iou']:.4f}" in capsys.readouterr().out

    with pytest.raises(UsageError, match="was started with crf_layer = yes, not no"):
        retrain.main(["--resume", "--no-crf-layer", "--out", "runs/a"])
