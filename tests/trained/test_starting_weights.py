"""`python -m autoseg.retrain --weights FILE`, on small files that the tests make."""

import hashlib
import re
import shutil

import pytest
import safetensors.torch
import torch

from autoseg import retrain
from autoseg.architecture import Architecture, CellEdge
from autoseg.errors import UsageError
from autoseg.networks import ENCODERS, build_network
from autoseg.runs import load_record
from autoseg.trained import NetworkChoice
from autoseg.trained.starting_weights import starting_weights

pytestmark = pytest.mark.usefixtures("figures_of_one_pixel")

NAME = "deeplabv3plus_mobilenet_v2"
RETRAIN = [
    *("--network", NAME, "--num-steps", "2", "--batch-size", "2", "--validate-every", "1"),
    *("--val-images", "2", "--crop-size", "64", "64", "--device", "cpu"),
    *("--image-size", "64", "72", "--train-length", "8"),
]
# Too small a step to show in float32.
STANDING = ["--learning-rate", "1e-12", "--num-steps", "1"]


def write_classifier(path, *, width=0.125, name="mobilenet_v2"):
    torch.manual_seed(5)
    state = ENCODERS[name](num_classes=7, width=width).state_dict()
    safetensors.torch.save_file(state, path)
    return state


def only(paths):
    (path,) = paths
    return path


def last_weights(folder):
    return safetensors.torch.load_file(folder / NAME / "weights-last.safetensors")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A classifier's file, and a retraining that started from it."""
    folder = tmp_path_factory.mktemp("finished")
    write_classifier(folder / "classifier.safetensors")
    weights = ["--weights", str(folder / "classifier.safetensors")]
    assert retrain.main([*RETRAIN, *weights, "--out", str(folder / "run")]) == 0
    return folder


def test_the_encoder_starts_from_a_classifiers_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "classifier.safetensors"
    state = write_classifier(path)
    assert retrain.main([*RETRAIN, *STANDING, "--weights", str(path)]) == 0

    left_out = [name for name in state if name.startswith(("features.18.", "classifier."))]
    assert len(left_out) == 6 + 2  # a convolution with batch norm, a linear layer
    message = (
        f"retrain: encoder of {NAME} from {path}: {len(state) - 8} tensors; left out, as the "
        r"classifier's own: (features\.18|classifier)\..* and 2 more\n"
    )
    assert re.search(message, capsys.readouterr().err)
    folder = only(tmp_path.glob("runs/retrain-*"))
    for place in (folder, folder / NAME):
        record = load_record(place)["config"]["weights"]
        assert record["file"] == "classifier.safetensors"
        assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert record["parts"] == ["encoder"]
        assert record["num_tensors"] == len(state) - len(left_out)
        assert sorted(record["left_out"]) == sorted(left_out)
    trained = last_weights(folder)
    learning = [name for name in state if name.endswith(("weight", "bias"))]
    for name in set(learning) - set(left_out):
        torch.testing.assert_close(trained[f"encoder.{name}"], state[name], rtol=1e-6, atol=1e-8)


def test_without_a_file_the_record_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert retrain.main([*RETRAIN, *STANDING]) == 0
    folder = only(tmp_path.glob("runs/retrain-*"))
    assert load_record(folder)["config"]["weights"] is None
    (tmp_path / "any.pth").write_bytes(b"")
    message = (
        f"--resume --weights {tmp_path / 'any.pth'}: {folder.relative_to(tmp_path)} was started "
        "from random weights; leave --weights out, or start a new run without --resume."
    )
    with pytest.raises(UsageError, match=re.escape(message)):
        retrain.main(
            [
                *("--resume", "--out", str(folder.relative_to(tmp_path))),
                *("--weights", str(tmp_path / "any.pth")),
            ]
        )


def test_a_whole_networks_file_fills_all_of_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(5)
    state = build_network(NAME, num_classes=12, width=0.125).state_dict()
    torch.save(state, "whole.pth")
    assert retrain.main([*RETRAIN, *STANDING, "--weights", "whole.pth"]) == 0
    line = f"retrain: all of {NAME} from whole.pth: {len(state)} tensors\n"
    assert line in capsys.readouterr().err
    trained = last_weights(only(tmp_path.glob("runs/retrain-*")))
    torch.testing.assert_close(trained["classifier.weight"], state["classifier.weight"])


def refused(arguments, message, folder):
    with pytest.raises(UsageError, match=re.escape(message)):
        retrain.main(arguments)
    assert not list(folder.glob("runs/*"))


def test_a_file_of_another_width_is_told_the_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_classifier("wide.safetensors", width=1.0)
    message = (
        f"--weights wide.safetensors: {NAME} is to be built at width 0.125, and the file fits it "
        "at width 1; add --width 1."
    )
    refused([*RETRAIN, "--weights", "wide.safetensors"], message, tmp_path)


def test_a_file_that_does_not_fit_is_refused_before_a_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_classifier("other.safetensors", name="resnet18")
    message = f"--weights other.safetensors: it is a file of resnet18, and {NAME} is built on "
    refused([*RETRAIN, "--weights", "other.safetensors"], message, tmp_path)
    refused([*RETRAIN, "--weights", "none.pth"], "weights: none.pth does not exist.", tmp_path)


def test_a_file_of_other_classes_fills_all_but_the_last_layer(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(5)
    state = build_network(NAME, num_classes=21, width=0.125).state_dict()
    torch.save({"model": {f"module.{name}": value for name, value in state.items()}}, "voc.pth")
    assert retrain.main([*RETRAIN, *STANDING, "--weights", "voc.pth"]) == 0
    line = (
        f"retrain: all but 2 tensors of {NAME} from voc.pth: {len(state) - 2} tensors; taken from "
        "'model'; without 'module.' in its names; left random, as the file lacks them or has other "
        "classes: classifier.weight, classifier.bias\n"
    )
    assert line in capsys.readouterr().err
    folder = only(tmp_path.glob("runs/retrain-*"))
    record = load_record(folder)["config"]["weights"]
    assert record["random"] == ["classifier.weight", "classifier.bias"]
    trained = last_weights(folder)["decoder.0.0.weight"]
    torch.testing.assert_close(trained, state["decoder.0.0.weight"], rtol=1e-6, atol=1e-8)


def choice_of(name, **changes):
    return NetworkChoice(label=name, name=name, **{"width": 0.125, **changes})


def refusal(path, choice):
    with pytest.raises(UsageError) as caught:
        starting_weights(path, [choice], num_classes=5)
    return str(caught.value)


def test_a_file_of_another_depth_is_told_the_network(tmp_path):
    path = tmp_path / "deep.safetensors"
    write_classifier(path, name="resnet101", width=0.25)
    assert refusal(path, choice_of("deeplabv3plus_resnet50")) == (
        f"--weights {path}: it is a file of resnet101, and deeplabv3plus_resnet50 is built on "
        "another encoder; deeplabv3plus_resnet101 takes it: use --network deeplabv3plus_resnet101 "
        "--width 0.25."
    )
    # Nobody published a network over this one, and its family takes it.
    write_classifier(path, name="resnet18")
    assert refusal(path, choice_of("deeplabv3plus_resnet50")).endswith(
        "; deeplabv3plus_resnet18 takes it: use --network deeplabv3plus --encoder resnet18 "
        "--width 0.125."
    )


def test_a_file_of_another_width_is_told_the_width(tmp_path):
    path = tmp_path / "wide.safetensors"
    write_classifier(path, width=0.25)
    assert refusal(path, choice_of(NAME)) == (
        f"--weights {path}: {NAME} is to be built at width 0.125, and the file fits it at width "
        "0.25; add --width 0.25."
    )


def test_a_width_that_cannot_be_is_not_proposed(tmp_path):
    state = write_classifier(tmp_path / "wide.safetensors")
    huge = {
        name: value[:1].expand(1000 * len(value))
        for name, value in state.items()
        if value.ndim == 1
    }
    torch.save(huge, tmp_path / "huge.pth")
    assert refusal(tmp_path / "huge.pth", choice_of(NAME)).startswith("weights: ")


def test_a_file_of_other_filters_is_told_the_multiplier(tmp_path):
    architecture = Architecture(
        space="mine",
        strides=(4, 8),
        path=(4, 8),
        cell=((CellEdge(0, "sep_conv_3x3"), CellEdge(1, "skip_connect")),),
    )
    path = tmp_path / "searched.pth"
    network = build_network(architecture, num_classes=7, filter_multiplier=12, width=0.125)
    torch.save(network.state_dict(), path)
    choice = NetworkChoice(
        label="searched", architecture=architecture, width=0.125, filter_multiplier=4
    )
    assert refusal(path, choice) == (
        f"--weights {path}: searched is to be built with filter multiplier 4, and the file fits it "
        "with 12; add --filter-multiplier 12 --width 0.125."
    )


def test_one_file_is_for_one_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = (
        f"--weights any.pth: 2 networks are to be trained ({NAME}, unet), and one file fits one "
        "network; name it with --network NAME, or leave --weights out."
    )
    refused([*RETRAIN, "--network", NAME, "unet", "--weights", "any.pth"], message, tmp_path)


def test_a_checkpoint_decides_when_resuming(finished, tmp_path):
    run = shutil.copytree(finished / "run", tmp_path / "run")
    before = last_weights(run)
    assert retrain.main(["--resume", "--out", str(run)]) == 0
    again = str(finished / "classifier.safetensors")
    assert retrain.main(["--resume", "--out", str(run), "--weights", again]) == 0
    after = last_weights(run)
    assert all(torch.equal(after[name], value) for name, value in before.items())

    other = tmp_path / "other.safetensors"
    write_classifier(other, width=0.25)
    digest = load_record(run)["config"]["weights"]["sha256"]
    message = (
        f"--resume --weights {other}: {run} was started from classifier.safetensors (SHA-256 "
        f"{digest[:12]}...), and this file is another one; leave --weights out, or start a new run"
    )
    with pytest.raises(UsageError, match=re.escape(message)):
        retrain.main(["--resume", "--out", str(run), "--weights", str(other)])


def test_without_a_checkpoint_the_file_is_needed_again(finished, tmp_path):
    run = shutil.copytree(finished / "run", tmp_path / "run")
    before = last_weights(run)
    for path in (run / NAME).glob("checkpoint-*.pt"):
        path.unlink()
    (run / NAME / "weights-last.safetensors").unlink()
    digest = load_record(run)["config"]["weights"]["sha256"]
    message = (
        f"--resume: {run} was started from classifier.safetensors (SHA-256 {digest[:12]}...) and "
        "stopped before its first checkpoint; name that file again with --weights FILE."
    )
    with pytest.raises(UsageError, match=re.escape(message)):
        retrain.main(["--resume", "--out", str(run)])
    path = str(finished / "classifier.safetensors")
    assert retrain.main(["--resume", "--out", str(run), "--weights", path]) == 0
    # The whole training once more: from other weights it would end with others.
    after = last_weights(run)
    assert all(torch.equal(after[name], value) for name, value in before.items())
