"""Partial channels and edge normalisation: against the per-edge reference, and by hand."""

import dataclasses
import itertools

import pytest
import torch

from autoseg.architecture import fold_gamma, normalise_gamma
from autoseg.supernet import SinglePath, Supernet
from autoseg.supernet.partial_channels import PartialChannels, shuffle_channels
from tests.supernet.test_supernet import (
    BACK_ENDS,
    BOTH_FAMILIES,
    assert_same,
    gradients,
    random_supernet,
    small_space,
)

SPACE = small_space(filter_multiplier=8, strides=(4, 8))


def partial_supernet(space=SPACE, *, seed=0, **options):
    net = random_supernet(space, seed=seed, partial_channels=4, edge_normalisation=True, **options)
    with torch.no_grad():
        net.gamma.normal_()
    return net


@pytest.mark.parametrize("backend", BACK_ENDS)
@pytest.mark.parametrize(
    "changes",
    [
        {"operations": BOTH_FAMILIES},
        pytest.param({"num_nodes": 3, "strides": (4, 8, 16, 32)}, marks=pytest.mark.nightly),
    ],
)
def test_equals_the_per_edge_reference(changes, backend):
    net = partial_supernet(dataclasses.replace(SPACE, **changes), backend=backend)
    images = torch.randn(2, 3, 33, 41, dtype=torch.float64)
    assert_same(net, images, torch.randint(5, (2, 33, 41)), tolerance=1e-8)
    assert bool((net.gamma.grad != 0).all())


@pytest.mark.parametrize("backend", BACK_ENDS[1:])
def test_recomputation_changes_neither_results_nor_statistics(backend):
    plain, again = (partial_supernet(backend=backend, recompute_cells=r) for r in (False, True))
    images, target = torch.randn(1, 3, 33, 25, dtype=torch.float64), torch.randint(5, (1, 33, 25))
    expected = gradients(plain, plain(images), target)
    for name, gradient in gradients(again, again(images), target).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(dict(again.named_buffers()), dict(plain.named_buffers()))


def test_one_of_one_channel_is_the_supernet_bit_for_bit():
    images = torch.randn(2, 3, 33, 40)
    torch.manual_seed(0)
    plain = Supernet(SPACE, num_classes=5, backend="torch")
    torch.manual_seed(0)
    whole = Supernet(SPACE, num_classes=5, backend="torch", partial_channels=1)
    assert torch.equal(plain(images), whole(images))


def test_the_shuffle_deals_the_channels_out():
    maps = torch.arange(8.0).view(1, 1, 8, 1, 1)
    assert shuffle_channels(maps, 4).flatten().tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    assert shuffle_channels(maps, 2).flatten().tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


def test_a_node_by_hand():
    # Two states of four channels, half of which are sent: to both nodes, by the weights' sums.
    parts = PartialChannels(2)
    first, second = (
        torch.tensor(values).view(1, 1, 4, 1, 1) for values in ([1.0, 2, 3, 4], [5.0, 6, 7, 8])
    )
    sent = parts.split(first, torch.tensor([[0.25, 0.25], [0.5, 0.5]]))
    assert sent.flatten().tolist() == [1, 2]
    assert parts.split(second, torch.tensor([[1.0, 1.0], [0.0, 0.0]])).flatten().tolist() == [5, 6]
    mixed = torch.tensor([10.0, 20.0]).view(1, 1, 2, 1, 1)
    # 0.5 * (3, 4) + 2 * (7, 8) past the operations; then one of each half in turn.
    node = parts.join(mixed)
    assert node.flatten().tolist() == [10, 15.5, 20, 18]
    # The next node has an edge from the node too; its own weight is 3.
    parts.split(node, torch.tensor([[1.0, 2.0]]))
    assert parts.join(mixed).flatten().tolist() == [10, 1 * 3 + 3 * 20, 20, 4 + 3 * 18]


def test_gamma_is_a_softmax_over_the_edges_that_lead_to_a_node():
    gamma = torch.randn(5, dtype=torch.float64)  # two edges to node 0, three to node 1
    expected = [*torch.softmax(gamma[:2], 0), *torch.softmax(gamma[2:], 0)]
    torch.testing.assert_close(normalise_gamma(SPACE, gamma), torch.stack(expected))


def test_folded_into_alpha_gamma_decodes_the_edges_of_the_largest_products():
    net = partial_supernet(dataclasses.replace(SPACE, num_nodes=3))
    space = net.space
    none = space.operations.index("none")
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            net.alpha.normal_(generator=generator)
            net.gamma.normal_(0, 3, generator=generator)
            products = torch.softmax(net.alpha, 1) * normalise_gamma(space, net.gamma)[:, None]
            folded = torch.softmax(fold_gamma(space, net.alpha, net.gamma), dim=1)
        for column in set(range(len(space.operations))) - {none}:
            torch.testing.assert_close(folded[:, column], products[:, column])
        # The authors' genotype: the two edges with the largest product of any operation but "none".
        products[:, none] = 0
        for node, kept in enumerate(net.decode().cell):
            rows = {source: space.edge_index(source, node) for source in space.predecessors(node)}
            best = sorted(rows, key=lambda source: -float(products[rows[source]].max()))[:2]
            assert [edge.source for edge in kept] == sorted(best)
            for edge in kept:
                assert edge.op == space.operations[int(products[rows[edge.source]].argmax())]


def test_only_gamma_and_the_logits_are_of_the_architecture():
    net = partial_supernet()
    arch = net.arch_parameters()
    assert [id(each) for each in arch] == [id(net.alpha), id(net.beta), id(net.gamma)]
    assert {id(each) for each in net.parameters()} == {
        id(each) for each in itertools.chain(arch, net.weight_parameters())
    }


def test_a_path_of_narrower_operations_is_refused():
    net = partial_supernet()
    with pytest.raises(ValueError, match="partial_channels = 4: a single path evaluates"):
        SinglePath(net, net.decode())
