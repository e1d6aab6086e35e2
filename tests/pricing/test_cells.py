"""Prices of a cell space, the expected cost and the limit, against all of its networks."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from autoseg.architecture import CellSpace, decode_cells, sample_cell_architecture
from autoseg.cost import count_macs
from autoseg.networks import build_network
from autoseg.networks.weightless import weightless
from autoseg.pricing import (
    ExpectedCellMacs,
    cheapest_cells,
    decode_cells_within,
    price_cells,
)
from autoseg.proposers import CellDomain
from tests.architecture.cells import SMALL

SIZES = {"num_classes": 7, "filter_multiplier": 5, "width": 0.1, "in_channels": 4}
IMAGE_SIZE = (43, 70)  # not a multiple of any stride
# Two nodes with edges of their own, and one with the same operations everywhere.
SPACES = {
    "small": SMALL,
    "wide": CellSpace.from_dict(
        {
            **SMALL.to_dict(),
            "name": "wide",
            "num_nodes": 1,
            "retrain_num_cells": 6,
            "normal_operations": [["none", "sep_conv_3x3", "skip_connect", "max_pool_3x3"]] * 2,
            "reduction_operations": [["sep_conv_5x5", "none", "dil_conv_3x3", "skip_connect"]] * 2,
        }
    ),
}


def all_architectures(space):
    domain = CellDomain(space)
    names = list(domain.options)
    combinations = itertools.product(*domain.options.values())
    return sorted(
        {domain.decode(dict(zip(names, each, strict=True))) for each in combinations}, key=str
    )


@pytest.fixture(scope="module", params=SPACES)
def priced(request):
    """A space, its prices, all its architectures and what each costs."""
    space = SPACES[request.param]
    prices = price_cells(space, image_size=IMAGE_SIZE, **SIZES)
    architectures = all_architectures(space)
    return space, prices, architectures, np.array([prices.cost(each) for each in architectures])


def logits_of(space, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return [
        scale * torch.randn(len(names), len(names[0]), generator=generator, dtype=torch.float64)
        for names in (space.normal_operations, space.reduction_operations)
    ]


def log_weight(space, architecture, alphas):
    """Add up the logarithms of the weights of all operations that are kept."""
    total = 0.0
    operations = space.normal_operations, space.reduction_operations
    for cell, names, alpha in zip(architecture.cells.values(), operations, alphas, strict=True):
        for node, edges in enumerate(cell):
            for source, op in edges:
                row = sum(range(2, 2 + node)) + source
                total += float(alpha[row].log_softmax(-1)[names[row].index(op)])
    return total


def test_prices_are_those_of_the_networks_that_are_built(priced):
    space, prices, _, _ = priced
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        architecture = sample_cell_architecture(space, generator)
        with weightless():
            network = build_network(architecture, **SIZES)
        assert prices.cost(architecture) == count_macs(network, IMAGE_SIZE).macs


@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
def test_expectation_is_the_mean_over_all_networks(priced, scale):
    space, prices, architectures, macs = priced
    alphas = logits_of(space, scale=scale)
    weights = [math.exp(log_weight(space, each, alphas)) for each in architectures]
    expected = math.fsum(w * m for w, m in zip(weights, macs, strict=True)) / math.fsum(weights)
    found = ExpectedCellMacs(prices, device=torch.device("cpu"))(*alphas).item()
    assert found == pytest.approx(expected, rel=1e-12)


def test_its_gradient_is_that_of_finite_differences(priced):
    space, prices, _, _ = priced
    alphas = tuple(logits.requires_grad_() for logits in logits_of(space))
    expected = ExpectedCellMacs(prices, device=torch.device("cpu"))
    assert torch.autograd.gradcheck(lambda *each: expected(*each) / 1e3, alphas, eps=1e-5)


@pytest.mark.parametrize(("seed", "scale"), [(0, 1.0), (1, 0.05), (2, 3.0)])
def test_no_architecture_that_fits_scores_higher(priced, seed, scale):
    space, prices, architectures, macs = priced
    alphas = logits_of(space, seed, scale)
    scores = np.array([log_weight(space, each, alphas) for each in architectures])
    number = {each: index for index, each in enumerate(architectures)}
    for quantile in (0.0, 0.01, 0.1, 0.4, 0.8, 1.0):
        limit = int(np.quantile(macs, quantile))
        found = number[decode_cells_within(prices, *alphas, limit=limit)]
        assert macs[found] <= limit
        assert scores[found] == pytest.approx(scores[macs <= limit].max(), abs=1e-9)
    decoded = decode_cells(space, *alphas)
    assert decode_cells_within(prices, *alphas, limit=prices.cost(decoded)) == decoded


def test_the_cheapest_is_found_and_less_is_refused(priced):
    space, prices, _, macs = priced
    assert prices.cost(cheapest_cells(prices)) == macs.min()
    message = (
        rf"^decode_cells_within: limit = {macs.min() - 1:,} MACs, but the cheapest architecture of "
        rf"the space costs {macs.min():,} MACs\.$"
    )
    with pytest.raises(ValueError, match=message):
        decode_cells_within(prices, *logits_of(space), limit=int(macs.min()) - 1)


def test_cells_of_another_space_are_refused():
    prices = price_cells(SMALL, image_size=IMAGE_SIZE, **SIZES)
    found = sample_cell_architecture(SPACES["wide"], torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"^CellPrices\.cost: cells of the architecture have 1"):
        prices.cost(found)
    found = sample_cell_architecture(SMALL, torch.Generator().manual_seed(0))
    other = dataclasses.replace(found, reduction=found.normal)
    with pytest.raises(ValueError, match=r"^CellPrices\.cost: reduction\[0\] has operation"):
        prices.cost(other)
