"""How sure two decoded cells are: margins by hand, agreement, and what is doubted."""

import json
import math

import pytest
import torch

from autoseg.architecture import decode_cells_with_confidence
from tests.architecture.cells import SMALL


def settled():
    """Logits of both cells in which every choice leads by at least one nat."""
    normal = torch.zeros(5, 3)
    normal[:, 2] = torch.tensor([9.0, 7.0, 5.0, 3.0, 1.0])
    reduction = torch.zeros(5, 2)
    reduction[:, 1] = torch.tensor([9.0, 7.0, 5.0, 3.0, 1.0])
    return normal, reduction


def test_margins_are_differences_of_log_weights():
    normal, reduction = settled()
    decoded = decode_cells_with_confidence(SMALL, normal, reduction)
    # Node 1 of the normal cell keeps edges 2 and 3 (sources 0 and 1) and drops edge 4.
    edge = decoded.edges["normal"][2]
    assert (edge.node, edge.edge.source, edge.edge.op) == (1, 0, "sep_conv_3x3")
    assert (edge.second_op, edge.dropped_source) == ("skip_connect", 2)
    assert edge.op_margin == pytest.approx(5.0, abs=1e-6)
    weight = [-math.log(1 + 2 * math.exp(-lead)) for lead in (5.0, 1.0)]
    assert edge.edge_margin == pytest.approx(weight[0] - weight[1], abs=1e-6)
    # "none" is no rival: edge 1 of the reduction cell has nothing else.
    alone = decoded.edges["reduction"][1]
    assert (alone.edge.op, alone.second_op, alone.op_margin) == ("avg_pool_3x3", None, None)
    assert decoded.entropies.keys() == {"normal_entropy", "reduction_entropy"}
    assert json.loads(json.dumps(decoded.confidence()))["edges"]["normal"][2]["edge"] == {
        "source": 0,
        "op": "sep_conv_3x3",
    }


def test_what_has_settled_is_not_doubted():
    pair = settled()
    decoded = decode_cells_with_confidence(SMALL, *pair, history=[pair, pair])
    assert decoded.doubts == ()
    assert (decoded.agreement.normal, decoded.agreement.reduction) == (1.0, 1.0)
    assert "100% with this normal cell, 100% with this reduction cell" in str(decoded)
    assert str(decoded).endswith("only retraining tells.")


def test_a_cell_that_noise_decided_is_doubted():
    normal, _ = settled()
    torch.manual_seed(0)
    noise = 1e-4 * torch.randn(5, 2)
    history = [(normal, -noise), (normal, -noise), (normal, noise)]
    decoded = decode_cells_with_confidence(SMALL, normal, noise, history=history)
    still, close, agreement = decoded.doubts
    assert still.startswith("reduction alpha (1.0000) has hardly moved")
    assert close.endswith("twice what the random start of alpha alone spreads them by.")
    # Node 0: one operation; node 1: two operations and two edges over the third.
    assert "5 of the reduction cell's 5 choices lead by less than 0.0028 nats" in close
    assert agreement == "1 of the last 3 decodes have this reduction cell."
    assert all(doubt in str(decoded) for doubt in decoded.doubts)
