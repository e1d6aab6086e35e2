"""Prices of parts add up to what `count_macs` finds in the network that is built."""

import dataclasses

import pytest
import torch

from autoseg.architecture import sample_architecture
from autoseg.cost import count_macs
from autoseg.networks import build_network
from autoseg.networks.weightless import weightless
from autoseg.pricing import price_space
from tests.pricing.enumeration import all_architectures, space_of

SIZES = {"num_classes": 7, "filter_multiplier": 5, "width": 0.3, "in_channels": 4}
IMAGE_SIZE = (75, 118)  # not a multiple of any stride


def counted(architecture, image_size=IMAGE_SIZE, **sizes):
    with weightless():
        network = build_network(architecture, **(SIZES | sizes))
    return count_macs(network, image_size).macs


def test_drawn_architectures_cost_what_their_networks_cost():
    space = space_of(
        num_layers=5,
        num_levels=4,
        num_nodes=3,
        operations=(
            "skip_connect",
            "none",
            "max_pool_3x3",
            "sep_conv_5x5",
            "dil_conv_3x3",
            "atrous_conv_3x3",
        ),
    )
    prices = price_space(space, image_size=IMAGE_SIZE, **SIZES)
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        architecture = sample_architecture(space, generator)
        assert prices.cost(architecture) == counted(architecture)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_every_network_of_a_short_space_is_priced_exactly(num_layers):
    # The first two cells read the stem, and the decoder's early map is the last one's.
    space = space_of(
        num_layers=num_layers, num_levels=3, num_nodes=1, operations=("none", "skip_connect")
    )
    prices = price_space(space, image_size=IMAGE_SIZE, **SIZES)
    for architecture in all_architectures(space):
        assert prices.cost(architecture) == counted(architecture)


def test_pricing_draws_no_random_number():
    space = space_of(num_layers=2, num_levels=2, num_nodes=1, operations=("sep_conv_3x3",))
    before = torch.get_rng_state()
    price_space(space, image_size=IMAGE_SIZE, **SIZES)
    assert torch.equal(before, torch.get_rng_state())


def test_an_architecture_of_another_space_is_refused():
    space = space_of(num_layers=2, num_levels=2, num_nodes=1, operations=("sep_conv_3x3",))
    other = dataclasses.replace(space, num_layers=3)
    architecture = sample_architecture(other, torch.Generator().manual_seed(0))
    prices = price_space(space, image_size=IMAGE_SIZE, **SIZES)
    with pytest.raises(ValueError, match=r"^Prices\.cost: \(strides, layers, nodes\)"):
        prices.cost(architecture)
