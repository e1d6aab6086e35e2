"""Choices by perturbation against losses of the edge-by-edge supernet, in float64."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F

from autoseg.architecture import normalise_alpha, normalise_beta
from autoseg.errors import UsageError
from autoseg.strategies import Darts, perturbation
from autoseg.strategies.perturbation import (
    PerturbationSelection,
    num_decisions,
    num_scores,
    num_selection_steps,
)
from autoseg.supernet import SinglePath
from autoseg.supernet.reference import reference_features
from tests.strategies.contract import strategy_of, task_of
from tests.strategies.test_darts import batch, small_supernet


@torch.no_grad()
def loss_of(net, alpha, beta):
    """The loss under weights, by the reference that evaluates every edge by itself."""
    images, target = batch()
    features = reference_features(
        net, images, alpha_weights=alpha, beta_of=lambda *edge: beta[edge], training=True
    )
    logits = [
        F.interpolate(head(features[name]), images.shape[2:], mode="bilinear", align_corners=False)
        for name, head in net.heads.items()
    ]
    return float(F.cross_entropy(torch.stack(logits).sum(dim=0), target))


def test_every_choice_is_the_one_that_is_missed_most(monkeypatch):
    monkeypatch.setattr(
        perturbation,
        "segmentation_loss",
        lambda logits, target, **_: F.cross_entropy(logits, target),
    )
    net = small_supernet()
    space = net.space
    arch = [parameter.detach().clone() for parameter in net.arch_parameters()]
    selection = PerturbationSelection(net, ignore_index=255, seed=3)
    before = selection.decode()
    assert before == net.decode()
    alpha = normalise_alpha(arch[0])
    beta = normalise_beta(space, arch[1], rule=net.beta_norm)

    def loss_without(weights, *index):
        kept = weights[index].clone()
        weights[index] = 0
        loss = loss_of(net, alpha, beta)
        weights[index] = kept
        return loss

    none, num_passes = space.operations.index("none"), 0
    names = range(len(space.operations))
    rows = selection._edges
    assert sorted(rows) == list(range(space.num_edges))
    assert rows != sorted(rows)
    for row in rows:
        losses = {op: loss_without(alpha, row, op) for op in names if op != none}
        num_passes += selection.decide(batch())
        alpha[row] = 0
        alpha[row, max(losses, key=losses.get)] = 1
    for node in selection._nodes:
        sources = space.predecessors(node)
        losses = {s: loss_without(alpha, space.edge_index(s, node)) for s in sources}
        num_passes += selection.decide(batch())
        for source in sorted(losses, key=losses.get)[:-2]:
            alpha[space.edge_index(source, node)] = 0
    level = 0
    for layer in range(space.num_layers):
        ways = [way for way in (0, 1, 2) if 0 <= level + way - 1 < space.num_levels]
        losses = {way: loss_without(beta, layer, level, way) for way in ways}
        num_passes += selection.decide(batch())
        way = max(losses, key=losses.get)
        beta[layer] = 0
        beta[layer, level, way] = 1
        level += way - 1
    assert selection.is_done
    assert selection.num_decided == num_decisions(space)
    assert num_passes <= num_scores(space)
    torch.testing.assert_close(selection.weights(), (alpha, beta), rtol=0, atol=0)
    # What is left of the supernet is the architecture.
    architecture, images = selection.decode(), batch()[0]
    with torch.no_grad():
        left = net.features(images, alpha, beta)[f"stride{architecture.path[-1]}"]
        torch.testing.assert_close(left, SinglePath(net, architecture).features(images))
    assert all(map(torch.equal, arch, net.arch_parameters()))


def test_the_seed_decides_the_order():
    net = small_supernet()
    orders = [PerturbationSelection(net, ignore_index=255, seed=s)._edges for s in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize(("num_passes", "tuning"), [(10, 1), (100, 2), (1000, 38)])
def test_a_fifth_of_the_search_goes_to_scores_and_tuning(num_passes, tuning):
    space = task_of("darts").space  # 2 edges with 7 operations, 1 node, 2 layers
    assert num_decisions(space) == 2 + 1 + 2
    assert num_scores(space) == 2 * 7 + 2 + 2 * 3
    # (num_passes / 5 - 22 / 3) / 5, rounded down, at least 1
    assert num_selection_steps(space, num_passes) == 5 * (1 + tuning)


def test_choices_come_evenly_and_the_weights_are_tuned_in_between(monkeypatch):
    search = strategy_of("darts")(task_of("darts by perturbation"))
    done = []

    def decide(self, batch):
        self.num_decided += 1
        done.append("decide")
        return 1

    def tune(self, images, target):
        done.append("tune")
        return torch.zeros(())

    monkeypatch.setattr(PerturbationSelection, "decide", decide)
    monkeypatch.setattr(Darts, "tune", tune)
    num_search, num_steps = 4, search.num_steps
    assert num_steps == num_search + 10
    for step in range(num_steps):
        search.step(step, Fraction(step, num_steps))
    assert done == ["decide", "tune"] * 5
    assert search.num_evaluations == 4 + 2 + 5 + 5


def test_a_limit_of_macs_that_it_would_not_keep_is_refused():
    task = task_of("darts by perturbation", max_macs="1G")
    with pytest.raises(UsageError, match="--selection perturbation: it chooses without a limit of"):
        strategy_of("darts").check(task)
