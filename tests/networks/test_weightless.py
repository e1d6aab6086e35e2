"""Networks without values: the same names and shapes, nothing drawn."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from autoseg.networks import build_network
from autoseg.networks.weightless import weightless


def test_names_and_shapes_are_those_of_the_real_network_and_nothing_is_drawn() -> None:
    real = build_network("icnet_resnet50", num_classes=3, width=0.125).state_dict()
    before = torch.get_rng_state()
    with weightless():
        described = build_network("icnet_resnet50", num_classes=3, width=0.125).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert {name: value.shape for name, value in described.items()} == {
        name: value.shape for name, value in real.items()
    }
    assert all(value.is_meta for value in described.values())
    assert not torch.zeros(1).is_meta


class Operators(TorchDispatchMode):
    """Notes the operators that torch is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.empty(2, 3).normal_(),
        lambda: nn.init.normal_(torch.empty(2, 3), std=0.1),
        lambda: nn.init.uniform_(torch.empty(2, 3), a=-1.0),
        lambda: nn.init.kaiming_normal_(torch.empty(2, 3)),
        lambda: nn.Linear(3, 2).weight,  # by Kaiming's uniform distribution
    ],
)
def test_torch_is_not_asked_to_draw(draw: Any) -> None:
    with Operators() as asked:
        assert draw().shape == (2, 3)
    assert {"normal_", "uniform_"} & set(asked.names)
    with Operators() as asked, weightless():
        drawn = draw()
    assert (drawn.shape, drawn.is_meta) == ((2, 3), True)
    assert not {"normal_", "uniform_"} & set(asked.names)
