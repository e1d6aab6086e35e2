"""Networks with shared weights, against the same networks built alone."""

import dataclasses
from itertools import product

import pytest
import torch

from autoseg.architecture import Architecture, SearchSpace, path_of_rank, sample_cell
from autoseg.networks import build_network
from autoseg.networks.shared import SharedNetworks

SPACE = dataclasses.replace(
    SearchSpace.load("autodeeplab"),
    num_layers=4,
    num_nodes=2,
    filter_multiplier=2,
    operations=("none", "skip_connect", "avg_pool_3x3", "sep_conv_3x3", "atrous_conv_3x3"),
)
SIZES = {"num_classes": 5, "width": 1 / 16}


@pytest.fixture(scope="module")
def shared():
    torch.manual_seed(0)
    return SharedNetworks(SPACE, **SIZES, in_channels=4)


def drawn(path, seed=0):
    cell = sample_cell(SPACE, torch.Generator().manual_seed(seed))
    return Architecture(space=SPACE.name, strides=SPACE.strides, path=path, cell=cell)


@pytest.mark.parametrize("path", [(4, 4, 4, 4), (8, 16, 32, 32), (4, 8, 4, 8), (8, 4, 8, 16)])
def test_a_network_is_the_one_that_is_retrained(shared, path):
    architecture = drawn(path)
    alone = build_network(
        architecture, **SIZES, filter_multiplier=SPACE.filter_multiplier, in_channels=4
    )
    network = shared.network(architecture)
    alone.load_state_dict(network.state_dict())  # same names, same shapes
    images = torch.randn(2, 4, 35, 66)
    for is_training in (True, False):
        logits = [each.train(is_training)(images) for each in (network, alone)]
        assert torch.equal(*logits)
    shared.train()


def test_networks_share_what_they_have_in_common_and_nothing_else(shared):
    def weights(path, seed):
        network = shared.network(drawn(path, seed))
        return {name: id(parameter) for name, parameter in network.named_parameters()}

    one, other = weights((4, 8, 8, 4), 0), weights((4, 8, 16, 8), 0)
    common = {name for name in one if one[name] == other.get(name)}
    # Up to the second layer all; from there on the strides differ, and so do the modules.
    expected = ("stem", "cells.0", "cells.1", "decoder", "classifier")
    assert common == {name for name in one if name.startswith(expected)}


def test_all_networks_together_are_all_the_weights(shared):
    """Every weight belongs to some network, so that none is decayed or counted for nothing."""
    edges = [(node, source) for node in range(SPACE.num_nodes) for source in range(2 + node)]
    operations = SPACE.operations[1:]
    cells = []
    for op, other in product(operations, range(2)):
        cells.append((((0, op), (1, op)), ((other, op), (2, op))))
    assert {(node, s) for c in cells for node, e in enumerate(c) for s, _ in e} == set(edges)
    used = set()
    for rank in range(SPACE.num_paths()):
        for cell in cells:
            path = path_of_rank(SPACE, rank)
            architecture = Architecture(
                space=SPACE.name, strides=SPACE.strides, path=path, cell=cell
            )
            used |= {id(weight) for weight in shared.network(architecture).parameters()}
    assert used == {id(weight) for weight in shared.parameters()}


def test_an_architecture_of_another_space_is_refused(shared):
    with pytest.raises(
        ValueError, match=r"^SharedNetworks: \(strides, layers, nodes\) of the arch"
    ):
        shared.network(drawn((4, 4, 4)))
