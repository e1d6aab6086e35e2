"""What is said of a file that does not fit, word by word."""

import re
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from autoseg.networks import build_network
from autoseg.networks.encoders import ENCODERS
from autoseg.networks.weightless import weightless
from autoseg.networks.weights import MisfitError, load_weights_
from autoseg.networks.weights.misfit import known_encoder


def classifier(name: str, *, width: float = 0.125) -> dict[str, Tensor]:
    return ENCODERS[name](num_classes=7, width=width).state_dict()


def refused(network: nn.Module, state: dict[str, Tensor], path: Path) -> MisfitError:
    torch.save(state, path)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(MisfitError) as caught:
        load_weights_(network, path)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert "\n" not in str(caught.value)
    return caught.value


def test_what_does_not_fit_is_listed_and_nothing_is_copied(tmp_path: Path) -> None:
    state = classifier("resnet18")
    del state["layer1.0.bn1.bias"]
    state["surplus.weight"] = torch.zeros(3)
    state["fc.weight"] = torch.zeros(9, 64)
    path = tmp_path / "odd.pth"
    error = refused(ENCODERS["resnet18"](num_classes=7, width=0.125), state, path)
    assert str(error) == (
        f"weights: {path} does not fit ResNetClassifier; 1 missing: layer1.0.bn1.bias; 1 extra: "
        "surplus.weight; 1 misshapen: fc.weight is (9, 64) where the network has (7, 64). 120 "
        "others fit; build the network that the file was saved from, or name another file."
    )


def test_a_file_of_another_network_is_refused_shortly(tmp_path: Path) -> None:
    network = build_network("deeplabv3_resnet50", num_classes=5, width=0.125)
    error = refused(network, classifier("vgg11"), tmp_path / "vgg.pth")
    assert re.search(r"does not fit ResNet \(encoder\); \d+ missing: .* and \d+ more", str(error))
    assert str(error).endswith(
        "It is a file of vgg11: build a network over that, or name another file."
    )
    state = build_network("unet", num_classes=5, width=0.125).state_dict()
    error = refused(network, state, tmp_path / "unet.pth")
    assert str(error).endswith("It is of another network; build that, or name another file.")


def test_a_network_without_an_encoder_is_named_as_a_whole(tmp_path: Path) -> None:
    network = build_network("unet", num_classes=5, width=0.125)
    error = refused(network, classifier("resnet18"), tmp_path / "resnet.pth")
    assert "does not fit UNet; " in str(error)
    assert (error.encoder, error.width) == ("resnet18", 0.125)


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.encoder."])
def test_an_encoder_of_another_depth_is_named(tmp_path: Path, prefix: str) -> None:
    network = build_network("deeplabv3plus_resnet50", num_classes=5, width=0.125)
    state = {prefix + name: value for name, value in classifier("resnet101").items()}
    error = refused(network, state, tmp_path / "deep.pth")
    assert (error.encoder, error.width) == ("resnet101", 0.125)
    assert "It is a file of resnet101: build a network over that" in str(error)


@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn", "mobilenet_v2"])
def test_another_width_is_told_as_a_factor(tmp_path: Path, name: str) -> None:
    network = ENCODERS[name](num_classes=7, width=0.25)
    wider = refused(network, classifier(name, width=0.5), tmp_path / "wide.pth")
    assert (wider.factor, wider.encoder) == (2, "")
    assert str(wider).endswith(
        "Most of its channel counts are 2 times the network's: build the network with 2 times the "
        "width, or name another file."
    )
    narrower = refused(network, classifier(name, width=0.125), tmp_path / "narrow.pth")
    assert narrower.factor == Fraction(1, 2)
    assert "are 1/2 of the network's: build the network with 1/2 of the width" in str(narrower)


def test_a_stem_of_another_kind_is_no_width(tmp_path: Path) -> None:
    network = build_network("deeplabv3plus_resnet50", num_classes=5, width=0.125)
    state = build_network("pspnet_resnet50", num_classes=5, width=0.125).state_dict()
    error = refused(network, state, tmp_path / "psp.pth")
    assert error.factor == 2  # of the few sizes that differ
    assert re.search(
        r"\d{3} others fit; build the network that the file was saved from", str(error)
    )


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_every_encoder_is_known_by_its_own_names(name: str) -> None:
    with weightless():
        state = ENCODERS[name](width=0.5).state_dict()
    assert known_encoder(state) == (name, 0.5)


def test_foreign_names_are_written_so_that_no_terminal_obeys_them(tmp_path: Path) -> None:
    state = {f"\x1b[31m{'x' * 5000}\n": torch.zeros(1), "\ud800": torch.zeros(1)}
    error = refused(ENCODERS["resnet18"](width=0.125), state, tmp_path / "odd.pth")
    assert str(error).isprintable()
    assert "\\x1b[31mxxx" in str(error) and "\\ud800" in str(error)
    assert len(str(error)) < 1000
