"""The best architecture within a limit against all of them, scored and priced one by one."""

import math
import re

import numpy as np
import pytest
import torch

from autoseg.architecture import decode, edge_scores, path_score
from autoseg.pricing import PricedNetworks, cheapest, count_prices, decode_within
from tests.pricing.enumeration import all_architectures, space_of, table_of

SIZES = {"num_classes": 7, "filter_multiplier": 5, "width": 0.1}
SPACE = space_of(
    num_layers=3,
    num_levels=3,
    num_nodes=2,
    operations=("skip_connect", "none", "sep_conv_3x3", "atrous_conv_3x3"),
)
# Every operation costs something, and the cheapest one depends on the stride.
NONE_FREE = space_of(
    num_layers=3, num_levels=3, num_nodes=2, operations=("sep_conv_5x5", "atrous_conv_3x3")
)


def logits_of(space, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    shapes = (space.num_edges, len(space.operations)), (space.num_layers, space.num_levels, 3)
    return [
        scale * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes
    ]


@pytest.fixture(
    scope="module",
    params=[(SPACE, "MACs"), (NONE_FREE, "MACs"), (SPACE, "ns")],
    ids=["with skip", "none free", "latency"],
)
def priced(request):
    """A space, its prices, all its architectures and what each costs."""
    space, unit = request.param
    networks = PricedNetworks(space=space, image_size=(43, 70), **SIZES)
    prices = count_prices(networks) if unit == "MACs" else table_of(networks).prices()
    architectures = all_architectures(space)
    return space, prices, architectures, np.array([prices.cost(each) for each in architectures])


def scores_of(space, architectures, alpha, beta, path_rule):
    """Score each: its path by `path_score`, each kept edge by its operation's log weight."""
    scores = edge_scores(space, beta, path_rule=path_rule)
    logs = torch.log_softmax(alpha, dim=-1).tolist()
    of_paths, of_cells = {}, {}
    for each in architectures:
        if each.path not in of_paths:
            of_paths[each.path] = path_score(space, scores, each.path).item()
        if each.cell not in of_cells:
            of_cells[each.cell] = math.fsum(
                logs[sum(range(2, 2 + node)) + source][space.operations.index(op)]
                for node, edges in enumerate(each.cell)
                for source, op in edges
            )
    return np.array([of_paths[each.path] + of_cells[each.cell] for each in architectures])


@pytest.mark.parametrize(
    ("seed", "scale", "path_rule"),
    [(0, 1.0, "paper"), (1, 0.05, "paper"), (2, 3.0, "unbiased"), (3, 0.3, "unbiased")],
)
def test_no_architecture_that_fits_scores_higher(priced, seed, scale, path_rule):
    space, prices, architectures, costs = priced
    alpha, beta = logits_of(space, seed, scale)
    scores = scores_of(space, architectures, alpha, beta, path_rule)
    number = {each: index for index, each in enumerate(architectures)}
    for quantile in (0.0, 0.01, 0.1, 0.4, 0.8, 1.0):
        limit = int(np.quantile(costs, quantile))
        found = number[decode_within(prices, alpha, beta, limit=limit, path_rule=path_rule)]
        assert costs[found] <= limit
        assert scores[found] == pytest.approx(scores[costs <= limit].max(), abs=1e-9)


def test_a_limit_that_does_not_bind_changes_nothing(priced):
    space, prices, _, _ = priced
    alpha, beta = logits_of(space, 4, 1.0)
    decoded = decode(space, alpha, beta)
    assert decode_within(prices, alpha, beta, limit=prices.cost(decoded)) == decoded
    assert decode_within(prices, alpha, beta, limit=prices.cost(decoded) - 1) != decoded


def test_the_cheapest_is_found_and_less_is_refused(priced):
    space, prices, _, costs = priced
    assert prices.cost(cheapest(prices)) == costs.min()
    alpha, beta = logits_of(space, 5, 1.0)
    limit = int(costs.min()) - 1
    message = (
        f"decode_within: limit = {prices.written(limit)}, but the cheapest architecture of the "
        f"space costs {prices.written(limit + 1)}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        decode_within(prices, alpha, beta, limit=limit)
