"""A family over an encoder, named on the command line, from training to the comparison."""

import json
import re

import pytest

from autoseg import compare, evaluate, retrain
from autoseg.commands.compare import find_subjects
from autoseg.commands.retrain_networks import choose_networks
from autoseg.commands.zoo import collect_zoo
from autoseg.data import build_dataset
from autoseg.errors import FileError, UsageError
from autoseg.networks import NamedNetwork, build_network, named_networks
from autoseg.requests import CompareRequest, NetworksRequest, RetrainRequest
from autoseg.runs import load_record
from autoseg.runs.record import save_record
from autoseg.trained import NetworkChoice, RetrainedNetwork

pytestmark = pytest.mark.usefixtures("figures_of_one_pixel")

PAIR = NamedNetwork("fcn", "resnet18")
ARGUMENTS = [
    *("--network", "fcn", "--encoder", "resnet18", "--width", "0.1", "--num-steps", "1"),
    *("--image-size", "32", "48", "--train-length", "2", "--crop-size", "32", "32"),
    *("--batch-size", "2", "--val-images", "1", "--out", "run"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert retrain.main(ARGUMENTS) == 0
    return folder


@pytest.mark.usefixtures("short_split")
def test_a_run_is_the_pair_wherever_it_is_read(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    run = folder / "run" / "fcn_resnet18"
    saved = load_record(run)["config"]["network"]
    assert (saved["name"], saved["encoder"]) == ("fcn", "resnet18")
    network = RetrainedNetwork.open(run).network()
    expected = build_network("fcn", encoder="resnet18", num_classes=12, width=0.1)
    assert str(network) == str(expected.eval())
    assert evaluate.main([str(run)]) == 0
    assert "mIoU" in capsys.readouterr().out
    (subject,), _ = find_subjects(CompareRequest(run=(run,)))
    assert (subject.name, str(subject.network)) == ("fcn_resnet18", str(network))
    # The damage that a record may have is told with the nearest name.
    record = load_record(run)
    record["config"]["network"]["encoder"] = "resnet81"
    (folder / "damaged").mkdir()
    save_record(folder / "damaged", record)
    with pytest.raises(FileError, match=r"unknown encoder 'resnet81'; did you mean 'resnet18'\?"):
        RetrainedNetwork.open(folder / "damaged")


def test_resuming_takes_the_pair_and_no_other(folder, monkeypatch):
    monkeypatch.chdir(folder)
    again = ["--resume", "--out", "run"]
    assert retrain.main([*again, "--network", "fcn", "--encoder", "resnet18"]) == 0
    with pytest.raises(UsageError, match=r"with the networks fcn_resnet18, not fcn_resnet34;"):
        retrain.main([*again, "--network", "fcn", "--encoder", "resnet34"])


def test_every_family_is_paired_with_every_encoder_and_published_pairs_keep_their_names():
    request = RetrainRequest(
        network=("deeplabv3plus", "unet", "fcn"), encoder=("resnet50", "densenet121"), width=0.5
    )
    images = build_dataset("synthetic", split="train", length=1)
    choices = choose_networks(request, images)
    assert [choice.label for choice in choices] == [
        *("deeplabv3plus_resnet50", "deeplabv3plus_densenet121", "unet"),
        *("fcn_resnet50", "fcn_densenet121"),
    ]
    named = choose_networks(RetrainRequest(network=("deeplabv3plus_resnet50",), width=0.5), images)
    assert choices[0] == named[0]
    for choice in choices:
        assert NetworkChoice.from_dict(json.loads(json.dumps(choice.to_dict()))) == choice
    with pytest.raises(UsageError, match="would be trained in one folder"):
        choose_networks(
            RetrainRequest(network=("fcn", "fcn_resnet50"), encoder=("resnet50",), width=0.5),
            images,
        )


def test_costs_of_a_pair_are_counted_without_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a checkout in which the commands were tried has runs
    request = NetworksRequest(network=("deeplabv3plus", "unet"), encoder=("densenet121",))
    zoo = collect_zoo(request, with_macs=False)
    assert [row.name for row in zoo.networks] == ["unet", "deeplabv3plus_densenet121"]
    # torchvision's DenseNet-121 without classifier, and the decoder's layers: see test_families.
    assert zoo.networks[1].num_params == 16_195_315
    assert (zoo.networks[1].paper, zoo.networks[1].scores) == ("DeepLab v3+", ())
    asked = CompareRequest(networks=("autodeeplab_paper", "fcn"), encoder=("resnet18",), width=0.1)
    subjects, _ = find_subjects(asked)
    assert [subject.name for subject in subjects] == ["autodeeplab_paper", "fcn_resnet18"]


@pytest.mark.parametrize(
    ("names", "encoders", "message"),
    [
        (["fcn"], ["resnet81"], "unknown encoder 'resnet81'; did you mean 'resnet18'?"),
        (
            ["fcn"],
            [],
            "--network fcn: this is a family of networks; name its encoder as well, for example "
            "--network fcn --encoder resnet18 (alexnet, densenet121,",
        ),
        (
            ["unet"],
            ["vgg16"],
            "--encoder vgg16: unet has an encoder of its own. Families that take one: fcn, pspnet,",
        ),
        (
            ["pspnet_resnet50"],
            ["vgg16"],
            "--encoder vgg16: pspnet_resnet50 has an encoder of its own; did you mean --network "
            "pspnet --encoder vgg16?",
        ),
        ([], ["vgg16"], "--encoder vgg16 is for a family of networks; name one with --network"),
        (
            ["deeplabv3plus_densenet121"],
            [],
            "unknown network 'deeplabv3plus_densenet121'; did you mean --network deeplabv3plus "
            "--encoder densenet121?",
        ),
        (["fnc"], ["vgg16"], "unknown network 'fnc'; did you mean 'fcn'?"),
    ],
)
def test_what_is_no_pair_is_refused_with_what_is_near(names, encoders, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        named_networks(names, encoders)


def test_the_commands_refuse_before_anything_is_read_or_built(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"name one with --network \(fcn,"):
        retrain.main(["--encoder", "resnet50"])
    with pytest.raises(UsageError, match=r"--encoder is for networks without a run"):
        compare.main(["--encoder", "resnet50"])
    with pytest.raises(UsageError, match=r"unet has an encoder of its own\. Families"):
        compare.main(["--networks", "unet", "--encoder", "resnet50", "--width", "0.1"])
    assert list(tmp_path.iterdir()) == []
