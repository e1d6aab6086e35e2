"""Sampling by Gumbel's noise, and the gradients of alpha and beta, against written-out ones."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from autoseg.architecture import live_betas
from autoseg.strategies import darts, gumbel
from autoseg.strategies.gumbel import GumbelDarts, hard_sample, temperature
from tests.strategies.test_darts import CONFIG, CPU, batch, copies, small_supernet

TAU = 1.7
SEED = 14
"""Draws "none" on one edge, and the finest stride twice; 17 leaves a node without any input."""


def rule_of(net):
    rule = GumbelDarts(net, CONFIG, ignore_index=255, device=CPU)
    rule.temperature = TAU
    return rule


def test_the_temperature_falls_from_10_to_a_tenth():
    assert [temperature(progress) for progress in (0.0, 0.5, 1.0)] == pytest.approx([10, 5.05, 0.1])


def test_options_are_drawn_by_their_probabilities_whatever_the_temperature():
    logits = torch.tensor([0.3, -1.0, 2.0, 0.9], dtype=torch.float64).expand(4000, 4)
    generator = torch.Generator().manual_seed(1)
    uniform = torch.rand(4000, 4, generator=generator, dtype=torch.float64)
    noise = -(-uniform.log()).log()
    chosen, weights = hard_sample(logits, noise, temperature=10.0)
    assert torch.equal(chosen, hard_sample(logits, noise, temperature=0.1)[0])
    assert torch.equal(weights, torch.ones(4000, dtype=torch.float64))
    expected = 4000 * logits[0].softmax(0)
    assert stats.chisquare(torch.bincount(chosen, minlength=4), expected).pvalue > 1e-3


@pytest.fixture(scope="module", params=[SEED, 17])
def sampled(request):
    """A supernet, a half-step's sample of it with the noise for alpha, and the half-step's loss."""
    net = small_supernet()
    rule, noises = rule_of(net), []
    rule.mean_loss = torch.tensor(0.25)
    draw = gumbel.hard_sample

    def remember(logits, noise, **settings):
        noises.append(noise)
        return draw(logits, noise, **settings)

    arch = copies(net.arch_parameters())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gumbel, "hard_sample", remember)
        patch.setattr(
            darts, "segmentation_loss", lambda logits, target, **_: F.cross_entropy(logits, target)
        )
        torch.manual_seed(request.param)
        loss = rule.architecture_step(*batch())
    gradients = [parameter.grad for parameter in net.arch_parameters()]
    with torch.no_grad():  # back to where the gradient was taken
        for parameter, value in zip(net.arch_parameters(), arch, strict=True):
            parameter.copy_(value)
    return net, rule, noises[0], loss, gradients


def one_hot(net, path):
    """The weights of alpha and beta under which the whole supernet is what was sampled."""
    space = net.space
    alpha, beta = torch.zeros_like(net.alpha), torch.zeros_like(net.beta)
    for node, edges in enumerate(path.cell):
        for edge in edges:
            row = space.edge_index(edge.source, node)
            alpha[row, space.operations.index(edge.op)] = 1
    levels = [0, *map(space.strides.index, path.path)]
    for layer in range(space.num_layers):
        beta[layer, levels[layer], levels[layer + 1] - levels[layer] + 1] = 1
    return alpha.requires_grad_(), beta.requires_grad_()


def test_alpha_moves_straight_through_what_was_sampled(sampled):
    net, rule, noise, loss, gradients = sampled
    images, target = batch()
    path = rule._sampled.network
    assert any(edge.op == "none" for edges in path.cell for edge in edges)
    alpha, beta = one_hot(net, path)
    stride = f"stride{path.path[-1]}"
    maps = net.heads[stride](net.features(images, alpha, beta)[stride])
    logits = F.interpolate(maps, images.shape[2:], mode="bilinear", align_corners=False)
    whole = F.cross_entropy(logits, target)
    torch.testing.assert_close(loss, whole.detach(), rtol=1e-10, atol=0)

    by_alpha, by_beta = torch.autograd.grad(whole, (alpha, beta))
    chosen = alpha.detach().argmax(-1, keepdim=True)
    soft = ((net.alpha.detach().log_softmax(-1) + noise) / TAU).softmax(-1)
    # d soft_j / d logit_i = soft_j (delta_ij - soft_i) / tau; log softmax shifts all alike.
    slopes = by_alpha.gather(-1, chosen) * soft.gather(-1, chosen) / TAU
    expected = slopes * (alpha.detach() - soft)
    assert expected.abs().max() > 1e-6
    torch.testing.assert_close(gradients[0], expected, rtol=1e-8, atol=1e-12)
    # Why beta does not: batch norm undoes a factor, but for its epsilon.
    assert (by_beta * beta).abs().max() < 1e-3 * by_alpha.abs().max()


def test_beta_moves_by_how_much_better_the_path_was_than_the_mean(sampled):
    net, rule, _, loss, gradients = sampled
    levels = [0, *map(net.space.strides.index, rule._sampled.network.path)]
    live = live_betas(net.space)
    expected = torch.zeros_like(net.beta)
    for layer, (level, after) in enumerate(itertools.pairwise(levels)):
        row, out = net.beta.detach()[layer, level], live[layer, level]
        # d log p_j / d beta_i = delta_ij - p_i
        slope = -torch.softmax(row[out], dim=-1)
        slope[out.nonzero().flatten().tolist().index(after - level + 1)] += 1
        expected[layer, level, out] = (loss - 0.25) * slope
    torch.testing.assert_close(gradients[1], expected, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(rule.mean_loss, 0.9 * 0.25 + 0.1 * loss, rtol=1e-12, atol=0)


def test_the_first_loss_is_its_own_mean():
    net = small_supernet()
    rule = rule_of(net)
    loss = rule.architecture_step(*batch())
    assert torch.equal(rule.mean_loss, loss)
    assert not net.beta.grad.any()


def test_weights_that_were_not_sampled_stay_as_they_are():
    net = small_supernet()
    rule = rule_of(net)
    before, arch = copies(net.parameters()), copies(net.arch_parameters())
    torch.manual_seed(SEED)
    rule.weight_step(*batch())
    torch.manual_seed(SEED)
    path = rule.sample().network
    assert all(map(torch.equal, arch, net.arch_parameters()))
    moved = {
        name.split(".")[1] if name.startswith(("cells.", "heads.")) else "stem"
        for (name, value), old in zip(net.named_parameters(), before, strict=True)
        if not torch.equal(value, old)
    }
    cells = {f"layer{layer}_stride{stride}" for layer, stride in enumerate(path.path)}
    assert moved == {"stem", f"stride{path.path[-1]}", *cells}
