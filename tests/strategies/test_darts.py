"""The two half-steps against finite differences and hand-written updates."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from autoseg.architecture import SearchSpace
from autoseg.strategies import Darts, SearchConfig
from autoseg.supernet import Supernet
from autoseg.training import DivergedError

CPU = torch.device("cpu")
CONFIG = SearchConfig(
    num_epochs=2, arch_start_epoch=1, gradient_clip=0, weight_decay=0.0, arch_weight_decay=0.0
)


def small_supernet(num_classes=3):
    torch.manual_seed(0)
    space = dataclasses.replace(
        SearchSpace.load("autodeeplab"),
        num_layers=2,
        num_nodes=2,
        filter_multiplier=2,
        stem_channels=(3, 4, 5),
    )
    net = Supernet(space, num_classes=num_classes).double()
    with torch.no_grad():
        net.alpha.normal_()
        net.beta.normal_()
    return net


def batch():
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(4, 3, 48, 40, generator=generator, dtype=torch.float64)
    return images, torch.randint(3, (4, 48, 40), generator=generator)


def strategy_of(net, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    return Darts(net, config, ignore_index=255, device=CPU)


def copies(parameters):
    return [parameter.detach().clone() for parameter in parameters]


def test_architecture_step_follows_the_finite_difference_gradient():
    net = small_supernet()
    images, target = batch()

    def loss_at(parameter, index, value):
        before = parameter.data[index].clone()
        parameter.data[index] = value
        with torch.no_grad():
            loss = F.cross_entropy(net(images), target)
        parameter.data[index] = before
        return loss

    probes = [
        (net.alpha, (0, 1)),
        (net.alpha, (3, 5)),
        (net.beta, (0, 0, 1)),
        (net.beta, (1, 1, 0)),
    ]
    h = 1e-5
    slopes = [
        (loss_at(p, i, p.data[i] + h) - loss_at(p, i, p.data[i] - h)) / (2 * h) for p, i in probes
    ]
    strategy = strategy_of(net)
    strategy.architecture_step(images, target, step=0)
    for (parameter, index), slope in zip(probes, slopes, strict=True):
        # Central differences are exact to h**2; rounding adds about 1e-16 / h.
        assert parameter.grad[index].item() == pytest.approx(slope.item(), rel=1e-4, abs=1e-8)


def test_each_half_step_moves_its_own_group_alone():
    net = small_supernet()
    strategy = strategy_of(net)
    arch, weights = copies(net.arch_parameters()), copies(net.weight_parameters())
    strategy.weight_step(*batch(), step=0, progress=0.0)
    assert all(map(torch.equal, arch, net.arch_parameters()))
    assert not any(map(torch.equal, weights, net.weight_parameters()))
    weights = copies(net.weight_parameters())
    strategy.architecture_step(*batch(), step=0)
    assert all(map(torch.equal, weights, net.weight_parameters()))
    assert not any(map(torch.equal, arch, net.arch_parameters()))


def test_weight_step_is_sgd_with_momentum_decay_and_cosine_rate():
    net = small_supernet()
    strategy = strategy_of(net, weight_decay=0.01, momentum=0.5, weight_lr=0.2, weight_lr_final=0.1)
    images, target = batch()
    parameter = net.stem.conv1[0].weight
    velocity = torch.zeros_like(parameter)
    for progress, rate in ((0.0, 0.2), (0.5, 0.15)):
        before = parameter.detach().clone()
        strategy.weight_step(images, target, step=0, progress=progress)
        velocity = 0.5 * velocity + parameter.grad + 0.01 * before
        torch.testing.assert_close(parameter.detach(), before - rate * velocity)


def test_gradient_norm_is_clipped_over_all_weights():
    net = small_supernet()
    strategy = strategy_of(net, gradient_clip=1e-3)
    strategy.weight_step(*batch(), step=0, progress=0.0)
    squares = sum(float(p.grad.square().sum()) for p in net.weight_parameters())
    # torch divides by the norm plus 1e-6.
    assert squares**0.5 == pytest.approx(1e-3, rel=1e-2)


def test_weight_lr_must_be_sane():
    net = small_supernet()
    strategy = strategy_of(net)
    images, target = batch()
    with pytest.raises(DivergedError, match=r"weights' \(--weight-lr\) loss is nan at step 4"):
        strategy.weight_step(images * float("nan"), target, step=4, progress=0.0)
    with pytest.raises(DivergedError, match=r"architecture's \(--arch-lr\) loss is nan at step 4"):
        strategy.architecture_step(images * float("nan"), target, step=4)
