"""Expected MACs against the mean over all architectures, each with its probability."""

import itertools
import math

import pytest
import torch

from autoseg.architecture import decode, sample_architecture
from autoseg.cost import count_macs
from autoseg.networks import build_network
from autoseg.networks.weightless import weightless
from autoseg.pricing import ExpectedCost, PricedNetworks, price_space
from tests.pricing.enumeration import all_architectures, space_of, table_of

SIZES = {"num_classes": 7, "filter_multiplier": 5, "width": 0.1}
IMAGE_SIZE = (43, 70)
CPU = torch.device("cpu")
PAIRS = space_of(
    num_layers=3,
    num_levels=3,
    num_nodes=2,
    operations=("skip_connect", "none", "sep_conv_3x3"),
)


def logits_of(space, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = (
        (space.num_edges, len(space.operations)),
        (space.num_layers, space.num_levels, 3),
    )
    return [
        scale * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes
    ]


def likelihood(space, architecture, alpha, beta):
    """Multiply the weights of everything that an architecture keeps, but for the cell's factor."""
    result = 1.0
    levels = [0, *(space.strides.index(stride) for stride in architecture.path)]
    for layer, (before, level) in enumerate(itertools.pairwise(levels)):
        targets = [to for to in range(space.num_levels) if abs(to - before) <= 1]
        row = {to: beta[layer, before, to - before + 1].item() for to in targets}
        result *= math.exp(row[level]) / sum(map(math.exp, row.values()))
    for node, edges in enumerate(architecture.cell):
        for source, op in edges:
            row = alpha[sum(range(2, 2 + node)) + source].tolist()
            weights = [math.exp(value) for value in row]
            result *= weights[space.operations.index(op)] / sum(weights)
    return result


def expected_by_enumeration(space, macs_of, alpha, beta):
    architectures = all_architectures(space)
    weights = [likelihood(space, each, alpha, beta) for each in architectures]
    total = math.fsum(w * macs_of(each) for w, each in zip(weights, architectures, strict=True))
    return total / math.fsum(weights)


def test_expectation_is_the_mean_over_all_networks_as_they_are_built():
    space = space_of(
        num_layers=2, num_levels=2, num_nodes=1, operations=("none", "skip_connect", "sep_conv_3x3")
    )

    def macs_of(architecture):
        with weightless():
            network = build_network(architecture, **SIZES)
        return count_macs(network, IMAGE_SIZE).macs

    prices = price_space(space, image_size=IMAGE_SIZE, **SIZES)
    alpha, beta = logits_of(space)
    expected = ExpectedCost(prices, device=CPU)(alpha, beta).item()
    # Sums of numbers around 1e6, which float64 holds to 1e-9.
    assert expected == pytest.approx(expected_by_enumeration(space, macs_of, alpha, beta), abs=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
def test_expectation_is_the_mean_over_all_paths_and_pairs_of_edges(scale):
    prices = price_space(PAIRS, image_size=IMAGE_SIZE, **SIZES)
    alpha, beta = logits_of(PAIRS, scale)
    expected = ExpectedCost(prices, device=CPU)(alpha, beta).item()
    by_hand = expected_by_enumeration(PAIRS, prices.cost, alpha, beta)
    assert expected == pytest.approx(by_hand, abs=1e-6)


def test_expected_latency_is_the_mean_over_all_networks_and_its_gradient_that_of_differences():
    networks = PricedNetworks(space=PAIRS, image_size=IMAGE_SIZE, **SIZES)
    prices = table_of(networks).prices()
    alpha, beta = (logits.requires_grad_() for logits in logits_of(PAIRS))
    expected = ExpectedCost(prices, device=CPU)
    by_hand = expected_by_enumeration(PAIRS, prices.cost, alpha, beta)
    assert expected(alpha, beta).item() == pytest.approx(by_hand, rel=1e-12)
    # In microseconds, so that gradcheck's tolerances fit.
    assert torch.autograd.gradcheck(lambda a, b: expected(a, b) / 1e3, (alpha, beta), eps=1e-5)


def test_its_gradient_is_that_of_finite_differences():
    prices = price_space(PAIRS, image_size=IMAGE_SIZE, **SIZES)
    alpha, beta = (logits.requires_grad_() for logits in logits_of(PAIRS))
    expected = ExpectedCost(prices, device=CPU)
    # In units of a thousand MACs, so that gradcheck's tolerances fit.
    assert torch.autograd.gradcheck(lambda a, b: expected(a, b) / 1e3, (alpha, beta), eps=1e-5)


def test_where_alpha_and_beta_are_sure_it_is_the_decoded_network_s_cost():
    prices = price_space(PAIRS, image_size=IMAGE_SIZE, **SIZES)
    for seed in range(5):
        chosen = sample_architecture(PAIRS, torch.Generator().manual_seed(seed))
        alpha, beta = (torch.zeros_like(logits) for logits in logits_of(PAIRS))
        alpha[:, PAIRS.operations.index("none")] = 40.0  # of the edges that are dropped
        for node, edges in enumerate(chosen.cell):
            for source, op in edges:
                alpha[PAIRS.edge_index(source, node), PAIRS.operations.index(op)] = 80.0
        levels = [0, *(PAIRS.strides.index(stride) for stride in chosen.path)]
        for layer, (before, level) in enumerate(itertools.pairwise(levels)):
            beta[layer, before, level - before + 1] = 40.0
        assert decode(PAIRS, alpha, beta) == chosen
        expected = ExpectedCost(prices, device=CPU)(alpha, beta)
        assert expected.item() == pytest.approx(prices.cost(chosen), rel=1e-12)


def test_edges_that_prefer_none_beyond_all_measure_leave_it_finite():
    prices = price_space(PAIRS, image_size=IMAGE_SIZE, **SIZES)
    alpha, beta = logits_of(PAIRS)
    alpha[:, PAIRS.operations.index("none")] = 1e5
    alpha.requires_grad_()
    expected = ExpectedCost(prices, device=CPU)(alpha, beta)
    expected.backward()
    weaker = alpha.detach().clone()
    weaker[:, PAIRS.operations.index("none")] = 50.0  # as good as all, and products do not vanish
    by_hand = expected_by_enumeration(PAIRS, prices.cost, weaker, beta)
    assert expected.item() == pytest.approx(by_hand, rel=1e-9)
    assert bool(torch.isfinite(alpha.grad).all())
