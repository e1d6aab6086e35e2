"""Names as training scripts and libraries write them: each fills the network, and is said."""

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from autoseg.networks import NETWORKS, build_network
from autoseg.networks.encoders import ENCODERS
from autoseg.networks.weightless import weightless
from autoseg.networks.weights import LoadedWeights, load_weights_
from autoseg.networks.weights.names import (
    COUNTERS,
    ENCODER_PREFIXES,
    NETWORK_PREFIXES,
    WRAPPER_PARTS,
    readings,
)
from tests.networks.encoders import layouts


def renamed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


def check_encoder(
    state: dict[str, Tensor], expected: dict[str, Tensor], path: Path
) -> LoadedWeights:
    """Load a file into an encoder of a network, and check every value of it."""
    network = build_network("deeplabv3plus_mobilenet_v2", num_classes=5, width=0.125)
    torch.save(state, path)
    loaded = load_weights_(network, path)
    assert loaded.parts == ("encoder",)
    for name, value in network.get_submodule("encoder").state_dict().items():
        assert torch.equal(value, expected[name]), name
    return loaded


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("module.", "without 'module.' in its names"),
        ("_orig_mod.", "without '_orig_mod.' in its names"),
        ("_orig_mod.module.", "without '_orig_mod.', 'module.' in its names"),
        ("model.", "without 'model.' in its names"),
        ("net.", "without 'net.' in its names"),
        ("network.", "without 'network.' in its names"),
        ("module.model.network.", "without 'module.', 'model.', 'network.' in its names"),
    ],
)
def test_prefixes_of_wrappers_are_taken_off(tmp_path: Path, prefix: str, said: str) -> None:
    source, network = (
        build_network("deeplabv3plus_mobilenet_v2", num_classes=5, width=0.125) for _ in range(2)
    )
    torch.save(renamed(source.state_dict(), prefix), tmp_path / "file.pth")
    loaded = load_weights_(network, tmp_path / "file.pth")
    assert loaded == LoadedWeights((), len(source.state_dict()), (), notes=(said,))
    expected = source.state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(value, expected[name])


@pytest.mark.parametrize("prefix", ["encoder.", "backbone.", "module.backbone.", "model.encoder."])
def test_an_encoder_lies_below_its_prefix(tmp_path: Path, prefix: str) -> None:
    state = ENCODERS["mobilenet_v2"](num_classes=7, width=0.125).state_dict()
    others = {"decoder.conv.weight": torch.zeros(3), "segmentation_head.0.bias": torch.zeros(2)}
    level = prefix.rsplit(".", 2)[0] + "." if prefix.count(".") > 1 else ""
    both = {**renamed(state, prefix), **renamed(others, level)}
    loaded = check_encoder(both, state, tmp_path / "file.pth")
    assert loaded.beside == tuple(renamed(others, level))
    assert set(loaded.left_out) == {
        prefix + name for name in state if name.startswith(("features.18.", "classifier."))
    }


def test_a_submodule_that_was_wrapped_alone(tmp_path: Path) -> None:
    state = ENCODERS["mobilenet_v2"](num_classes=None, width=0.125).state_dict()
    wrapped = {
        name.replace("features.1.", "features.1._orig_mod."): value for name, value in state.items()
    }
    assert wrapped.keys() != state.keys()
    check_encoder(wrapped, state, tmp_path / "file.pth")


def test_what_lies_beside_the_network_is_left_out_and_said(tmp_path: Path) -> None:
    source, network = (ENCODERS["resnet18"](num_classes=7, width=0.125) for _ in range(2))
    torch.save(
        {**renamed(source.state_dict(), "model."), "criterion.weight": torch.ones(7)},
        tmp_path / "lightning.ckpt",
    )
    loaded = load_weights_(network, tmp_path / "lightning.ckpt")
    assert loaded.beside == ("criterion.weight",)
    assert str(loaded) == (
        "122 tensors; without 'model.' in its names; left out, as no part of it: criterion.weight"
    )


def test_thops_counters_are_no_weights(tmp_path: Path) -> None:
    source, network = (ENCODERS["resnet18"](num_classes=7, width=0.125) for _ in range(2))
    counters = {
        f"{module}.{kind}".lstrip("."): torch.zeros(1)
        for module in ("", "conv1", "layer1.0.bn2")
        for kind in COUNTERS
    }
    torch.save({**source.state_dict(), **counters}, tmp_path / "counted.pth")
    loaded = load_weights_(network, tmp_path / "counted.pth")
    assert loaded.notes == ("without thop's 6 counts of operations and parameters",)


def test_torchs_averaged_model_is_the_network(tmp_path: Path) -> None:
    source, network = (ENCODERS["resnet18"](num_classes=7, width=0.125) for _ in range(2))
    averaged = AveragedModel(source).state_dict()
    assert "n_averaged" in averaged
    torch.save(averaged, tmp_path / "averaged.pth")
    loaded = load_weights_(network, tmp_path / "averaged.pth")
    assert loaded.notes == (
        "without 'module.' in its names",
        "the moving average that torch's AveragedModel kept",
    )
    expected = source.state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(value, expected[name])


@pytest.mark.parametrize(
    ("encoder", "layout"),
    [
        ("mobilenet_v2", layouts.timm_mobilenet_v2()),
        ("vgg11", layouts.timm_vgg((1, 1, 2, 2, 2), batch_norm=False)),
        ("vgg16_bn", layouts.timm_vgg((2, 2, 3, 3, 3), batch_norm=True)),
    ],
)
def test_timms_names_where_they_are_others(
    tmp_path: Path, encoder: str, layout: layouts.Layout
) -> None:
    # timm lists the same layers in the same order.
    with weightless():
        shapes = [value.shape for value in ENCODERS[encoder]().state_dict().values()]
    assert [torch.Size(shape).numel() for _, shape in layout] == [s.numel() for s in shapes]

    source, network = (ENCODERS[encoder](num_classes=7, width=0.125) for _ in range(2))
    state = source.state_dict()
    theirs = {
        name: value[:, :, None, None] if len(shape) == 4 and value.ndim == 2 else value
        for (name, shape), value in zip(layout, state.values(), strict=True)
    }
    torch.save(theirs, tmp_path / "timm.pth")
    loaded = load_weights_(network, tmp_path / "timm.pth")
    assert loaded == LoadedWeights((), len(state), (), notes=("timm's names translated",))
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_torchvisions_segmentation_file_fills_another_networks_encoder(tmp_path: Path) -> None:
    source = ENCODERS["resnet50"](num_classes=None, width=0.125).state_dict()
    head = {
        name: torch.zeros(1)
        for name, _ in layouts.deeplabv3_resnet((3, 4, 6, 3))
        if not name.startswith("backbone.")
    }
    torch.save({**renamed(source, "backbone."), **head}, tmp_path / "deeplabv3_resnet50.pth")
    network = build_network("deeplabv3plus_resnet50", num_classes=5, width=0.125)
    loaded = load_weights_(network, tmp_path / "deeplabv3_resnet50.pth")
    assert loaded.parts == ("encoder",) and loaded.beside == tuple(head)
    for name, value in network.get_submodule("encoder").state_dict().items():
        assert torch.equal(value, source[name])


def test_no_layer_here_is_called_like_a_wrapper() -> None:
    prefixes = tuple(f"{part}." for part in WRAPPER_PARTS) + NETWORK_PREFIXES
    for name in NETWORKS:
        with weightless():
            state = build_network(name, num_classes=3, width=0.125).state_dict()
        for key in state:
            assert not key.startswith(prefixes), key
            assert not {*WRAPPER_PARTS, *COUNTERS} & set(key.split(".")), key


def test_names_that_would_become_one_are_left_as_they_are() -> None:
    first = next(readings(["module.a", "a"]))
    assert first.names == {"module.a": "module.a", "a": "a"} and first.stripped == ()


def test_reading_ends_whatever_the_names_are() -> None:
    prefixes = (*NETWORK_PREFIXES, *ENCODER_PREFIXES)
    names = ["".join(parts) for parts in itertools.product(prefixes, repeat=5)]
    found = [reading for reading in readings(names) if not reading.library]
    assert len(found) == sum(len(prefixes) ** depth for depth in range(5))
    assert all(len(reading.stripped) <= 4 for reading in found)
