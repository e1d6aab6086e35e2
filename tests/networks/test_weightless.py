"""Networks without values: the same names and shapes, nothing drawn."""

import torch

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
