"""Sampling in a cell space: the gradients of both alphas, and what a step of weights moves."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from autoseg.strategies import darts, gumbel
from autoseg.strategies.gumbel import GumbelDarts
from autoseg.strategies.single_path import SinglePathTraining, fair_paths, uniform_paths
from autoseg.supernet import CellSupernet
from tests.architecture.cells import SMALL
from tests.strategies.test_darts import CONFIG, CPU, batch, copies
from tests.supernet.test_cell_supernet import one_hot

TAU = 1.7
SEED = 0
"""Draws "none" on an edge, and no noise."""
OPERATIONS = {"normal": SMALL.normal_operations, "reduction": SMALL.reduction_operations}


def small_supernet():
    torch.manual_seed(0)
    return CellSupernet(SMALL, num_classes=5).double()


def test_both_alphas_move_straight_through_what_was_sampled(monkeypatch):
    net = small_supernet()
    rule, noises = GumbelDarts(net, CONFIG, ignore_index=255, device=CPU), []
    rule.temperature = TAU
    draw = gumbel.hard_sample

    def remember(logits, noise, **settings):
        noises.append(noise)
        return draw(logits, noise, **settings)

    monkeypatch.setattr(gumbel, "hard_sample", remember)
    monkeypatch.setattr(
        darts, "segmentation_loss", lambda logits, target, **_: F.cross_entropy(logits, target)
    )
    before, (images, target) = copies(net.arch_parameters()), batch()
    torch.manual_seed(SEED)
    loss = rule.architecture_step(images, target)
    gradients = [parameter.grad for parameter in net.arch_parameters()]
    kept = rule._sampled.network.kept
    assert "none" in {edge.op for edges in kept["normal"] for edge in edges}
    assert "noise" not in {edge.op for edges in kept["reduction"] for edge in edges}
    weights = [
        one_hot(SMALL, kept[name], operations).requires_grad_()
        for name, operations in OPERATIONS.items()
    ]
    whole = F.cross_entropy(net.forward_weighted(images, *weights), target)
    torch.testing.assert_close(loss, whole.detach(), rtol=1e-10, atol=0)
    slopes = torch.autograd.grad(whole, weights)
    for number, operations in enumerate(OPERATIONS.values()):
        weight, slope = weights[number].detach(), slopes[number]
        soft = ((before[number].log_softmax(-1) + noises[number]) / TAU).softmax(-1)
        is_none = torch.tensor([[name == "none" for name in names] for names in operations])
        slope = slope.masked_fill(is_none, 0)  # it gives nothing, whatever its weight
        # d soft_j / d logit_i = soft_j (delta_ij - soft_i) / tau, of the chosen j.
        expected = (slope * weight * soft).sum(-1, keepdim=True) / TAU * (weight - soft)
        assert expected.abs().max() > 1e-6
        torch.testing.assert_close(gradients[number], expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("sampler", [uniform_paths, fair_paths])
def test_a_step_moves_the_sampled_cells_against_the_sum_of_their_gradients(sampler):
    config = dataclasses.replace(CONFIG, gradient_clip=0.0, weight_decay=0.0, precision="fp32")
    net, copy = small_supernet(), small_supernet()
    images, target = batch()
    trainer = SinglePathTraining(net, config, sampler=sampler, ignore_index=255, device=CPU)
    torch.manual_seed(5)  # for the noise
    trainer.step(images, target, progress=0.0)
    torch.manual_seed(5)
    drawn = sampler(SMALL, torch.Generator().manual_seed(config.seed))
    assert trainer.num_evaluations == len(drawn) == (1 if sampler is uniform_paths else 2)
    for found in drawn:
        weights = [one_hot(SMALL, found.cells[name], OPERATIONS[name]) for name in OPERATIONS]
        F.cross_entropy(copy.forward_weighted(images, *weights), target).backward()
    for (name, moved), start in zip(net.named_parameters(), copy.parameters(), strict=True):
        if name.endswith("alpha"):
            assert torch.equal(moved, start)
            continue
        expected = start if start.grad is None else start - config.weight_lr * start.grad
        torch.testing.assert_close(moved, expected, msg=name)


def test_fair_cells_have_every_operation_of_every_edge():
    for seed in range(10):
        drawn = fair_paths(SMALL, torch.Generator().manual_seed(seed))
        for name, operations in OPERATIONS.items():
            for node in range(SMALL.num_nodes):
                for place in (0, 1):
                    edges = [found.cells[name][node][place] for found in drawn]
                    (source,) = {edge.source for edge in edges}
                    candidates = operations[[0, 2][node] + source]
                    assert {edge.op for edge in edges} == set(candidates) - {"none"}
