import re
from typing import Any

import pytest
import torch
from torch import nn

from autoseg.architecture import Architecture, CellEdge
from autoseg.errors import UsageError
from autoseg.networks import ENCODERS, NETWORKS, build_network, registry
from autoseg.networks.weightless import weightless

ARCHITECTURE = Architecture(
    space="autodeeplab",
    strides=(4, 8, 16, 32),
    path=(4, 8),
    cell=((CellEdge(0, "sep_conv_3x3"), CellEdge(1, "sep_conv_3x3")),),
)


class Recorder(nn.Module):
    """Stands in for the architecture's network, and keeps what it was asked for."""

    def __init__(self, architecture: Architecture, **options: Any) -> None:
        super().__init__()
        self.architecture = architecture
        self.options = options


def test_names_are_the_documented_ones() -> None:
    assert {"deeplabv3plus_resnet101", "duc_hdc_resnet101", "icnet_resnet50"} <= set(NETWORKS)
    assert {"resnet50", "resnet101"} <= set(ENCODERS)


def test_a_name_is_built_with_its_width() -> None:
    torch.manual_seed(0)
    network = build_network("icnet_resnet50", num_classes=7, width=0.25)
    torch.manual_seed(0)
    same = NETWORKS["icnet_resnet50"](7, width=0.25)
    assert list(network.state_dict()) == list(same.state_dict())
    for built, expected in zip(network.parameters(), same.parameters(), strict=True):
        assert torch.equal(built, expected)


def test_a_name_without_width_is_the_papers() -> None:
    with weightless():
        network = build_network("icnet_pruned", num_classes=19)
    # The published count, and the two auxiliary classifiers.
    assert sum(parameter.numel() for parameter in network.parameters()) == 6_699_987 + 386 * 19


def test_an_architecture_is_built_with_the_papers_defaults(monkeypatch) -> None:
    monkeypatch.setattr(registry, "AutoDeepLab", Recorder)
    network = build_network(ARCHITECTURE, num_classes=19)
    assert isinstance(network, Recorder)
    assert network.architecture is ARCHITECTURE
    assert network.options == {
        "num_classes": 19,
        "filter_multiplier": 20,
        "width": 1.0,
        "drop_path_keep": 1.0,
    }


def test_an_architectures_options_are_passed_on(monkeypatch) -> None:
    monkeypatch.setattr(registry, "AutoDeepLab", Recorder)
    options = {"filter_multiplier": 4, "width": 0.25, "drop_path_keep": 0.8}
    network = build_network(ARCHITECTURE, num_classes=5, **options)
    assert isinstance(network, Recorder)
    assert network.options == {"num_classes": 5, **options}


def test_unknown_name_is_told_the_nearest() -> None:
    message = "unknown network 'icnet_resnet5'; did you mean 'icnet_resnet50'? Known: "
    with pytest.raises(UsageError, match=re.escape(message)):
        build_network("icnet_resnet5", num_classes=19)


@pytest.mark.parametrize(
    ("option", "value"),
    [("filter_multiplier", 20), ("drop_path_keep", 1.0)],
)
def test_a_name_takes_no_option_of_architectures(option: str, value: Any) -> None:
    message = (
        f"build_network: {option} {value!r} was given for the fixed network 'icnet_pruned', but "
        f"{option} is an option of an architecture; leave it out."
    )
    with pytest.raises(UsageError, match=re.escape(message)):
        build_network("icnet_pruned", num_classes=19, **{option: value})


def test_at_least_one_class() -> None:
    with pytest.raises(UsageError, match=r"num_classes 0; at least 1 is needed\."):
        build_network("icnet_pruned", num_classes=0)
