"""How sure a decode is: against brute force, noise that is added, and histories made by hand."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from autoseg.architecture import (
    CellEdge,
    SearchSpace,
    decode,
    decode_with_confidence,
    edge_scores,
    near_uniform,
    path_score,
)
from tests.architecture.enumeration import all_paths, beta_indices

SPACE = SearchSpace.load("autodeeplab")
SKIP, SEP = "skip_connect", "sep_conv_3x3"


def space_of(num_layers=12, num_levels=4, **changes):
    strides = tuple(4 << level for level in range(num_levels))
    return dataclasses.replace(SPACE, num_layers=num_layers, strides=strides, **changes)


def logits(space, seed, scale=1.0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return scale * torch.randn(shape, generator=generator, dtype=torch.float64)

    return (
        normal(space.num_edges, len(space.operations)),
        normal(space.num_layers, space.num_levels, 3),
    )


def planted(space, path, strength):
    """Zero alpha, and a beta along a path of levels."""
    beta, before = torch.zeros(space.num_layers, space.num_levels, 3), 0
    for layer, level in enumerate(path):
        beta[layer, before, level - before + 1] = strength
        before = level
    return beta


def decoded_cell_alpha(space, strength):
    """An alpha whose cell is decided: sep_conv_3x3 from the two last states of each node."""
    alpha = torch.zeros(space.num_edges, len(space.operations))
    for node in range(space.num_nodes):
        for source in (node, node + 1):
            alpha[space.edge_index(source, node), space.operations.index(SEP)] = strength
    return alpha


@pytest.mark.parametrize("beta_norm", ["paper", "two-thirds"])
@pytest.mark.parametrize("path_rule", ["paper", "unbiased"])
@pytest.mark.parametrize("size", [(12, 4), (6, 4), (5, 2), (1, 2)])
def test_the_margin_is_that_of_the_second_best_of_all_paths(size, path_rule, beta_norm):
    space = space_of(*size)
    rules = {"path_rule": path_rule, "beta_norm": beta_norm}
    for seed in range(10):
        alpha, beta = logits(space, seed)
        totals = edge_scores(space, beta, **rules).numpy().ravel()[beta_indices(*size)].sum(axis=1)
        best, second = np.argsort(-totals)[:2]
        result = decode_with_confidence(space, alpha, beta, num_shuffles=0, **rules)
        assert result.architecture == decode(space, alpha, beta, **rules)
        assert result.path_margin == pytest.approx(totals[best] - totals[second], abs=1e-11)
        assert result.runner_up.path == tuple(4 << i for i in all_paths(*size)[second].tolist())


@pytest.mark.parametrize("path_rule", ["paper", "unbiased"])
def test_the_noise_is_what_noise_on_beta_does_to_the_margin(path_rule):
    space = space_of(6)
    for seed in range(3):
        alpha, beta = logits(space, seed)
        result = decode_with_confidence(
            space, alpha, beta, path_rule=path_rule, init_std=1e-4, num_shuffles=0
        )
        margins = []
        for draw in range(1000):
            scores = edge_scores(
                space, beta + logits(space, 100 + draw, 1e-4)[1], path_rule=path_rule
            )
            first, second = (
                float(path_score(space, scores, path))
                for path in (result.architecture.path, result.runner_up.path)
            )
            margins.append(first - second)
        assert np.mean(margins) == pytest.approx(result.path_margin, abs=5e-5)
        # 1000 draws know a standard deviation to 2.2 %.
        assert np.std(margins) == pytest.approx(result.path_noise, rel=0.09)


def test_margins_of_the_cell_by_hand():
    # One node; weights out of 10 of (none, skip, sep): source 0: 1 6 3, source 1: 2 3 5.
    space = space_of(1, 1, num_nodes=1, operations=("none", SKIP, SEP))
    alpha = torch.tensor([[1.0, 6.0, 3.0], [2.0, 3.0, 5.0]]).log()
    first, second = decode_with_confidence(space, alpha, torch.zeros(1, 1, 3)).edges
    assert (first.node, first.edge, first.second_op) == (0, CellEdge(0, SKIP), SEP)
    assert first.op_margin == pytest.approx(math.log(2))
    assert (second.edge, second.second_op) == (CellEdge(1, SEP), SKIP)
    assert second.op_margin == pytest.approx(math.log(5 / 3))
    assert first.dropped_source is second.dropped_source is None  # both sources are kept
    assert first.margins == [first.op_margin]


def test_margins_over_the_strongest_dropped_edge_by_hand():
    # Node 1: its sources' strongest operations weigh 0.5, 0.8 and 0.4; "none" does not count.
    space = space_of(1, 1, num_nodes=2, operations=("none", SKIP))
    strengths = torch.tensor([0.5, 0.5, 0.5, 0.8, 0.4])
    alpha = torch.stack([1 - strengths, strengths], dim=1).log()
    edges = decode_with_confidence(space, alpha, torch.zeros(1, 1, 3)).edges
    node1 = [edge for edge in edges if edge.node == 1]
    assert [edge.edge.source for edge in node1] == [0, 1]
    assert [edge.dropped_source for edge in node1] == [2, 2]
    assert [edge.edge_margin for edge in node1] == pytest.approx([math.log(1.25), math.log(2)])
    assert [(edge.second_op, edge.op_margin) for edge in node1] == [(None, None)] * 2


@pytest.mark.parametrize("seed", range(10))
def test_an_operation_is_kept_exactly_as_long_as_its_margin_lasts(seed):
    space = space_of(num_nodes=1)  # both sources are kept, whatever their operations
    alpha, beta = logits(space, seed)
    for edge in decode_with_confidence(space, alpha, beta, num_shuffles=0).edges:
        raised = alpha.clone()
        entry = space.edge_index(edge.edge.source, 0), space.operations.index(edge.second_op)
        for excess, expected in ((-1e-9, edge.edge.op), (1e-9, edge.second_op)):
            raised[entry] = alpha[entry] + edge.op_margin + excess
            assert dict(decode(space, raised, beta).cell[0])[edge.edge.source] == expected


def test_agreement_counts_decodes_layers_and_nodes():
    space = space_of(3, num_nodes=2)
    alpha, beta = decoded_cell_alpha(space, 1.0), planted(space, (0, 1, 1), 3.0)
    other_alpha = alpha.clone()
    other_alpha[space.edge_index(0, 1), space.operations.index(SEP)] = 2.0  # node 1 alone changes
    other_beta = planted(space, (0, 1, 2), 3.0)  # layer 2 alone changes
    history = [(alpha, beta), (other_alpha, beta), (alpha, other_beta), (other_alpha, other_beta)]
    agreement = decode_with_confidence(space, alpha, beta, history=history).agreement
    assert agreement.num_decodes == 4
    assert (agreement.architecture, agreement.path, agreement.cell) == (0.25, 0.5, 0.5)
    assert agreement.layers == (1.0, 1.0, 0.5)
    assert agreement.nodes == (1.0, 0.5)


def test_a_decided_search_raises_no_doubts():
    for path_rule, strength in (("paper", 2.0), ("unbiased", 1.0)):
        alpha = decoded_cell_alpha(SPACE, 2.0)
        beta = planted(SPACE, (0, 1, 2, 2, 1, 1, 2, 2, 2, 2, 2, 2), strength)
        history = [(alpha, beta)] * 3
        result = decode_with_confidence(SPACE, alpha, beta, path_rule=path_rule, history=history)
        assert result.doubts == ()
        assert str(result).splitlines()[-1] == (
            "Path and cell differ from an untrained supernet's by more than noise; whether they "
            "retrain better, only retraining tells."
        )


def test_an_untrained_supernet_is_doubted_for_every_reason():
    alpha, beta = logits(SPACE, 9, 1e-3)
    earlier = [logits(SPACE, seed, 1e-3) for seed in range(5)]
    result = decode_with_confidence(SPACE, alpha, beta, history=earlier)
    untrained, agreement = result.untrained, result.agreement
    margins = [margin for edge in result.edges for margin in edge.margins]
    num_close = sum(margin < 2 * 1e-3 * 2**0.5 for margin in margins)
    assert num_close == len(margins) == 18
    num_path = round(5 * agreement.path)
    assert num_path <= 2
    assert result.doubts == (
        near_uniform(result.alpha_entropy, result.beta_entropy),
        "The path is one of the 2 of 75,025 that a uniform beta decodes.",
        f"Its lead over the next path is {result.path_margin:.2g} nats; the random start of beta "
        f"alone spreads it by {result.path_noise:.2g}.",
        "With the directions at each node shuffled, "
        f"{untrained.as_high_share:.0%} of 500 betas lead to a path that scores as high (two-sided "
        f"p = {untrained.p_value:.2g}), and {untrained.same_path_share:.0%} to this very path.",
        f"{num_path} of the last 5 decodes have this path; the least settled layer has this stride "
        f"in {min(agreement.layers):.0%} of them.",
        "18 of the cell's 18 choices lead by less than 0.0028 nats, twice what the random start of "
        "alpha alone spreads them by.",
        "0 of the last 5 decodes have this cell.",
    )
    lines = str(result).splitlines()
    assert lines[3] == "Reasons to doubt that the search decided this:"
    assert lines[4:] == [f"- {doubt}" for doubt in result.doubts]


def test_untrained_supernets_are_doubted_under_the_unbiased_rule():
    # Every path ties there at uniform beta, so that the lead and the shuffles have to tell.
    for seed in range(20):
        result = decode_with_confidence(SPACE, *logits(SPACE, seed, 1e-3), path_rule="unbiased")
        assert not result.untrained.is_untrained
        assert any(doubt.startswith("Its lead over the next path") for doubt in result.doubts)


def test_a_record_is_json():
    alpha, beta = logits(SPACE, 0)
    result = decode_with_confidence(SPACE, alpha, beta, history=[(alpha, beta)])
    record = result.to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == json.loads(json.dumps(record))
    assert record["architecture"] == result.architecture.to_dict()
    assert record["path_margin"] == result.path_margin
    assert record["edges"][0]["edge"] == {
        "source": result.edges[0].edge.source,
        "op": result.edges[0].edge.op,
    }
    assert record["agreement"]["path"] == 1.0
    assert record["untrained"]["num_paths"] == 75_025
    assert record["doubts"] == list(result.doubts)


def test_a_space_of_one_path_and_one_operation_has_nothing_to_doubt():
    space = space_of(3, 1, num_nodes=1, operations=(SKIP,))
    result = decode_with_confidence(space, torch.zeros(2, 1), torch.zeros(3, 1, 3))
    assert result.runner_up is result.path_margin is result.path_noise is None
    assert result.doubts == ()
    assert str(result).startswith("path  4 4 4\nPath and cell")


def test_parameters_are_read_and_not_touched():
    alpha, beta = (tensor.requires_grad_() for tensor in logits(SPACE, 0))
    with torch.inference_mode():
        decode_with_confidence(SPACE, alpha, beta)
    decode_with_confidence(SPACE, alpha, beta)
    assert alpha.grad is beta.grad is None
