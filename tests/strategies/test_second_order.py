"""The architecture's gradient of second order against autograd's exact one, in float64."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from autoseg.strategies import darts, second_order
from autoseg.supernet import Supernet
from autoseg.supernet.reference import reference_logits
from tests.strategies.test_darts import CONFIG, CPU, batch, copies, small_supernet

MOMENTUM, DECAY, RATE = 0.7, 0.02, 0.3


class Toy(nn.Module):
    """A smooth network of few numbers, with a supernet's two groups of parameters."""

    only_gradients_of = Supernet.only_gradients_of

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)

        def draw(*shape):
            values = torch.randn(*shape, generator=generator, dtype=torch.float64)
            return nn.Parameter(values)

        self.alpha, self.beta = draw(4), draw(2)
        self.first, self.second = draw(4, 3), draw(3, 4)

    def arch_parameters(self):
        return [self.alpha, self.beta]

    def weight_parameters(self):
        return [self.first, self.second]

    def forward(self, images):
        hidden = torch.tanh(torch.einsum("nchw,kc->nkhw", images, self.first))
        mixed = hidden * self.alpha.softmax(0)[:, None, None] + hidden.sin() * self.beta.sum()
        return torch.einsum("nkhw,ck->nchw", mixed, self.second)


class Reference(nn.Module):
    """The supernet by plain products, means and variances, which autograd differentiates twice."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        return reference_logits(self.net, images, training=True)


def differentiable_twice(net):
    """Return the network for autograd, and the prefix of its parameters' names there."""
    return (Reference(net), "net.") if isinstance(net, Supernet) else (net, "")


@pytest.fixture(autouse=True)
def exact_loss(monkeypatch):
    """The loss in float64; a search takes it in float32."""
    monkeypatch.setattr(
        darts, "segmentation_loss", lambda logits, target, **_: F.cross_entropy(logits, target)
    )


def rule_of(net):
    config = dataclasses.replace(CONFIG, momentum=MOMENTUM, weight_decay=DECAY)
    rule = second_order.SecondOrderDarts(net, config, ignore_index=255, device=CPU)
    rule._weight_lr.fill_(RATE)
    return rule


def exact_gradient(net, velocity, training, validation):
    """Differentiate L_trainB(w'(a), a) through w'(a), the optimizer's step from its definition."""
    network, prefix = differentiable_twice(net)
    names = [name for name, _ in net.named_parameters() if name not in ("alpha", "beta")]
    weights, arch = net.weight_parameters(), net.arch_parameters()
    slopes = torch.autograd.grad(
        F.cross_entropy(network(training[0]), training[1]), weights, create_graph=True
    )
    rate = torch.tensor(RATE).double()  # rounded to float32, as the optimizer's is
    ahead = {
        prefix + name: w - rate * (MOMENTUM * v + g + DECAY * w)
        for name, w, v, g in zip(names, weights, velocity, slopes, strict=True)
    }
    loss = F.cross_entropy(functional_call(network, ahead, (validation[0],)), validation[1])
    return loss.detach(), torch.autograd.grad(loss, arch)


def error(values, exact):
    """The largest deviation, relative to the largest entry."""
    parts = zip(values, exact, strict=True)
    return max(float((value - e).abs().max() / e.abs().max()) for value, e in parts)


@pytest.mark.parametrize("build", [Toy, small_supernet])
def test_the_gradient_is_the_exact_one_in_the_limit_of_small_radii(build, monkeypatch):
    net = build()
    rule = rule_of(net)
    (images, target), half = batch(), slice(0, 2)
    training, validation = (images, target), (images.flip(2)[half], target.flip(1)[half])
    before = copies(net.weight_parameters())
    rule.weight_step(*training)  # there is momentum now
    velocity = [w.grad + DECAY * w0 for w, w0 in zip(rule._weights, before, strict=True)]
    loss_exact, exact = exact_gradient(net, velocity, training, validation)
    state = copies(net.state_dict().values())
    # A supernet has kinks (ReLU, max-pooling): within 1e-6 of here there are none.
    monkeypatch.setattr(second_order, "_RADIUS", 1e-6)
    loss, gradient = rule.unrolled_gradient(training, validation)
    torch.testing.assert_close(loss, loss_exact, rtol=1e-12, atol=0)
    assert error(gradient, exact) < 1e-6
    # Weights and running statistics are what they were, bit for bit.
    assert all(map(torch.equal, state, net.state_dict().values()))
    assert error(rule.gradients(rule._arch, *validation)[1], exact) > 0.1  # first order


def test_the_error_is_of_the_square_of_the_radius(monkeypatch):
    net = Toy()
    rule, velocity = rule_of(net), [torch.zeros_like(w) for w in net.weight_parameters()]
    _, exact = exact_gradient(net, velocity, batch(), batch())
    at_radius = {}
    for radius in (second_order._RADIUS, 0.001):
        monkeypatch.setattr(second_order, "_RADIUS", radius)
        at_radius[radius] = error(rule.unrolled_gradient(batch(), batch())[1], exact)
    assert list(at_radius) == [0.01, 0.001]  # the paper's first
    assert at_radius[0.01] < 1e-4
    assert at_radius[0.001] == pytest.approx(at_radius[0.01] / 100, rel=0.05)


def test_alpha_and_beta_move_by_it_and_then_the_weights():
    nets = [Toy(), Toy()]
    whole, halves = map(rule_of, nets)
    training, validation = batch(), tuple(half.flip(0) for half in batch())
    losses = whole.step(training, validation, progress=0.0)
    halves._weight_lr.fill_(whole.weight_lr(0.0))
    _, gradient = halves.unrolled_gradient(training, validation)
    assert torch.equal(losses.architecture, halves.unrolled_step(training, validation))
    for mine, its in zip(nets[0].arch_parameters(), gradient, strict=True):
        assert torch.equal(mine.grad, its)
    assert torch.equal(losses.weights, halves.weight_step(*training))
    for mine, its in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(mine, its)
    assert whole.step(training, progress=0.0).architecture is None


def test_where_the_loss_is_flat_the_gradient_is_that_of_first_order():
    net = Toy()
    with torch.no_grad():
        net.first.zero_()
        net.second.zero_()  # a saddle: no gradient by any weight
    rule = rule_of(net)
    _, gradient = rule.unrolled_gradient(batch(), batch())
    _, first_order = rule.gradients(rule._arch, *batch())
    assert all(map(torch.equal, gradient, first_order))
