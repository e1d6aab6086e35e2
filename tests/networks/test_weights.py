import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from autoseg.errors import UsageError
from autoseg.networks import build_network
from autoseg.networks.encoders import ENCODERS
from autoseg.networks.weights import (
    from_torchvision,
    load_weights_,
    read_weights,
    to_torchvision,
)


def build_random(name: str, *, num_classes: int | None = 7, width: float = 0.125) -> nn.Module:
    return ENCODERS[name](num_classes=num_classes, width=width).double()


def save(state: dict[str, Tensor], path: Path) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("file_name", ["weights.pth", "weights.safetensors"])
def test_a_classifier_takes_the_weights_of_its_file(tmp_path: Path, file_name: str) -> None:
    source, network = build_random("resnet18").eval(), build_random("resnet18").eval()
    path = save(source.state_dict(), tmp_path / file_name)
    images = torch.randn(2, 3, 33, 41, dtype=torch.float64)
    assert not torch.allclose(network(images), source(images))
    loaded = load_weights_(network, path)
    assert torch.equal(network(images), source(images))
    assert loaded == ("", len(source.state_dict()), ())


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_state_dict_may_be_wrapped(tmp_path: Path, key: str) -> None:
    state = build_random("resnet18").state_dict()
    torch.save({key: state, "epoch": 3}, tmp_path / "checkpoint.pth")
    assert set(read_weights(tmp_path / "checkpoint.pth")) == set(state)


@pytest.mark.parametrize(
    ("classifier", "network", "part"),
    [
        ("resnet50", "deeplabv3plus_resnet50", "encoder"),
        ("resnet50", "deeplabv3_resnet50", "encoder"),
        ("mobilenet_v2", "deeplabv3_mobilenet_v2", "encoder"),
        ("xception65", "deeplabv3plus_xception65", "encoder"),
        ("vgg16", "fcn8s_vgg16", "stages"),
        ("vgg16", "deeplab_largefov_vgg16", "encoder"),
        ("vgg16_bn", "segnet_vgg16", "encoder"),
    ],
)
def test_a_classifiers_file_fills_the_encoder(
    tmp_path: Path, classifier: str, network: str, part: str
) -> None:
    source = ENCODERS[classifier](num_classes=7, width=0.125)
    path = save(source.state_dict(), tmp_path / "classifier.pth")
    built = build_network(network, num_classes=5, width=0.125)
    outside = {
        name: value.clone()
        for name, value in built.state_dict().items()
        if not name.startswith(f"{part}.")
    }
    loaded = load_weights_(built, path)
    assert loaded.part == part
    assert loaded.left_out
    assert loaded.num_tensors + len(loaded.left_out) == len(source.state_dict())
    # VGG's layers keep their numbers in whatever block they are; other names stay as they are.
    filled = built.get_submodule(part).state_dict()
    assert len(filled) == loaded.num_tensors
    for name, value in filled.items():
        if classifier.startswith("vgg"):
            name = "features." + ".".join(name.split(".")[-2:])
        assert torch.equal(value, source.state_dict()[name]), name
    after = built.state_dict()
    assert all(torch.equal(after[name], value) for name, value in outside.items())


def test_a_filled_encoder_computes_the_classifiers_maps(tmp_path: Path) -> None:
    source = ENCODERS["mobilenet_v2"](num_classes=7, width=0.125).double().eval()
    path = save(source.state_dict(), tmp_path / "classifier.pth")
    network = build_network("deeplabv3plus_mobilenet_v2", num_classes=5, width=0.125)
    network.double().eval()
    load_weights_(network, path)
    images = torch.randn(1, 3, 65, 97, dtype=torch.float64)
    # At output stride 16 every second pixel of the last map is the classifier's.
    (expected,) = source.maps(images, stages=(4,))
    (dense,) = network.get_submodule("encoder").maps(images, stages=(4,))
    torch.testing.assert_close(dense[:, :, ::2, ::2], expected)


def test_a_whole_networks_file_fills_all_of_it(tmp_path: Path) -> None:
    source = build_network("deeplabv3_resnet50", num_classes=5, width=0.125)
    network = build_network("deeplabv3_resnet50", num_classes=5, width=0.125)
    path = save(source.state_dict(), tmp_path / "whole.safetensors")
    loaded = load_weights_(network, path)
    assert loaded == ("", len(source.state_dict()), ())
    for name, value in network.state_dict().items():
        assert torch.equal(value, source.state_dict()[name])


@pytest.mark.parametrize(
    ("name", "some"),
    [
        (
            "deeplabv3_resnet50_torchvision",
            {
                "backbone.conv1.weight": (64, 3, 7, 7),
                "backbone.layer4.2.conv3.weight": (2048, 512, 1, 1),
                "classifier.0.convs.0.0.weight": (256, 2048, 1, 1),
                "classifier.0.convs.1.0.weight": (256, 2048, 3, 3),
                "classifier.0.convs.3.1.running_mean": (256,),
                "classifier.0.convs.4.1.weight": (256, 2048, 1, 1),
                "classifier.0.convs.4.2.bias": (256,),
                "classifier.0.project.0.weight": (256, 1280, 1, 1),
                "classifier.1.weight": (256, 256, 3, 3),
                "classifier.2.num_batches_tracked": (),
                "classifier.4.weight": (21, 256, 1, 1),
                "aux_classifier.0.weight": (256, 1024, 3, 3),
                "aux_classifier.4.bias": (21,),
            },
        ),
        (
            "fcn_resnet50",
            {
                "backbone.bn1.weight": (64,),
                "classifier.0.weight": (512, 2048, 3, 3),
                "classifier.4.weight": (21, 512, 1, 1),
                "aux_classifier.1.running_var": (256,),
            },
        ),
    ],
)
def test_torchvisions_names(tmp_path: Path, name: str, some: dict[str, tuple[int, ...]]) -> None:
    with torch.device("meta"):
        state = build_network(name, num_classes=21).state_dict()
    theirs = to_torchvision(state)
    # 318 of the encoder; 6 a convolution with batch norm, 2 a classifier.
    expected = 318 + (7 * 6 + 2 if "deeplab" in name else 6 + 2) + 6 + 2
    assert len(theirs) == len(state) == expected
    assert all(key.startswith(("backbone.", "classifier.", "aux_classifier.")) for key in theirs)
    assert {key: tuple(theirs[key].shape) for key in some} == some
    assert list(from_torchvision(theirs)) == list(state)

    source = build_network(name, num_classes=5, width=0.125)
    network = build_network(name, num_classes=5, width=0.125)
    path = save(to_torchvision(source.state_dict()), tmp_path / "theirs.pth")
    assert load_weights_(network, path).part == ""
    for key, value in network.state_dict().items():
        assert torch.equal(value, source.state_dict()[key])


def test_old_densenet_names_and_files_without_counts(tmp_path: Path) -> None:
    source, network = (ENCODERS["densenet121"](num_classes=7, width=0.125) for _ in range(2))
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name): value
        for name, value in source.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    loaded = load_weights_(network, save(old, tmp_path / "old.pth"))
    assert loaded.num_tensors == len(old)
    for name, value in network.named_parameters():
        assert torch.equal(value, source.get_parameter(name))


def test_googlenets_auxiliary_heads_are_left_out_where_there_are_none(tmp_path: Path) -> None:
    source = ENCODERS["googlenet"](num_classes=7, has_auxiliary=True, width=0.125)
    network = ENCODERS["googlenet"](num_classes=7, width=0.125)
    loaded = load_weights_(network, save(source.state_dict(), tmp_path / "aux.pth"))
    assert {name.split(".")[0] for name in loaded.left_out} == {"aux1", "aux2"}
    assert loaded.num_tensors == len(network.state_dict())


def test_what_does_not_fit_is_listed_and_nothing_is_copied(tmp_path: Path) -> None:
    state = ENCODERS["resnet18"](num_classes=7, width=0.125).state_dict()
    del state["layer1.0.bn1.bias"]
    state["surplus.weight"] = torch.zeros(3)
    state["fc.weight"] = torch.zeros(9, 64)
    path = save(state, tmp_path / "odd.pth")
    network = ENCODERS["resnet18"](num_classes=7, width=0.125)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    message = (
        f"weights: {path} does not fit ResNetClassifier; 1 missing: layer1.0.bn1.bias; 1 extra: "
        "surplus.weight; 1 misshapen: fc.weight is (9, 64) where the network has (7, 64). Build "
        "the network with the classes and width that the file was saved with, or name another file."
    )
    with pytest.raises(UsageError, match=re.escape(message)):
        load_weights_(network, path)
    after = network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_file_of_another_network_is_refused_shortly(tmp_path: Path) -> None:
    state = ENCODERS["vgg11"](num_classes=7, width=0.125).state_dict()
    path = save(state, tmp_path / "vgg.pth")
    network = build_network("deeplabv3_resnet50", num_classes=5, width=0.125)
    with pytest.raises(UsageError, match=r"does not fit ResNet \(encoder\); \d+ missing: .* and "):
        load_weights_(network, path)


def test_unet_has_no_encoder_to_fill(tmp_path: Path) -> None:
    state = ENCODERS["resnet18"](num_classes=7, width=0.125).state_dict()
    path = save(state, tmp_path / "resnet.pth")
    with pytest.raises(UsageError, match="does not fit UNet; "):
        load_weights_(build_network("unet", num_classes=5, width=0.125), path)


def test_files_that_hold_no_weights(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.pth does not exist\."):
        read_weights(tmp_path / "none.pth")
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("not weights", encoding="utf-8")
        with pytest.raises(UsageError, match="neither a safetensors file nor a state dict"):
            read_weights(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UsageError, match=r"holds no state dict, tensors by name, but a list\."):
        read_weights(tmp_path / "list.pth")


class Surprise:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("ran",)


def test_no_code_of_a_file_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"weight": Surprise()}, tmp_path / "odd.pth")
    with pytest.raises(UsageError, match="neither a safetensors file nor a state dict"):
        read_weights(tmp_path / "odd.pth")
    assert capsys.readouterr().out == ""
