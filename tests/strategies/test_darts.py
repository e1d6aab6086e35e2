"""The two half-steps against finite differences and hand-written updates."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F

from autoseg.architecture import SearchSpace
from autoseg.config import SearchConfig
from autoseg.strategies import (
    Darts,
)
from autoseg.supernet import Supernet

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
    strategy.architecture_step(images, target)
    for (parameter, index), slope in zip(probes, slopes, strict=True):
        # Central differences are exact to h**2; rounding adds about 1e-16 / h.
        assert parameter.grad[index].item() == pytest.approx(slope.item(), rel=1e-4, abs=1e-8)


def test_each_half_step_moves_its_own_group_alone():
    net = small_supernet()
    strategy = strategy_of(net)
    arch, weights = copies(net.arch_parameters()), copies(net.weight_parameters())
    strategy.weight_step(*batch())
    assert all(map(torch.equal, arch, net.arch_parameters()))
    assert not any(map(torch.equal, weights, net.weight_parameters()))
    weights = copies(net.weight_parameters())
    strategy.architecture_step(*batch())
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
        strategy.step((images, target), progress=progress)
        velocity = 0.5 * velocity + parameter.grad + 0.01 * before
        # The rate is float32 on the device.
        torch.testing.assert_close(
            parameter.detach(), before - rate * velocity, rtol=1e-7, atol=1e-8
        )


def test_gradient_norm_is_clipped_over_all_weights():
    net = small_supernet()
    strategy = strategy_of(net, gradient_clip=1e-3)
    strategy.weight_step(*batch())
    squares = sum(float(p.grad.square().sum()) for p in net.weight_parameters())
    # torch divides by the norm plus 1e-6.
    assert squares**0.5 == pytest.approx(1e-3, rel=1e-2)


def test_a_step_is_both_half_steps_in_turn():
    nets = [small_supernet(), small_supernet()]
    whole, halves = (strategy_of(net) for net in nets)
    images, target = batch()
    losses = whole.step((images, target), (images.flip(0), target.flip(0)), progress=0.0)
    expected = halves.weight_step(images, target)
    assert torch.equal(losses.weights, expected)
    # At the weights that the first half left.
    with torch.no_grad():
        slope = F.cross_entropy(nets[1](images.flip(0)), target.flip(0))
    # The loss is taken in float32.
    torch.testing.assert_close(losses.architecture.double(), slope, rtol=1e-6, atol=0)
    halves.architecture_step(images.flip(0), target.flip(0))
    assert torch.equal(nets[0].alpha, nets[1].alpha)
    assert whole.step((images, target), progress=0.0).architecture is None


def test_losses_are_on_the_device_without_a_gradient():
    losses = strategy_of(small_supernet()).step(batch(), batch(), progress=0.0)
    for loss in losses:
        assert loss.shape == ()
        assert not loss.requires_grad


def test_no_step_waits_to_see_whether_the_loss_is_finite():
    # The loop finds out, and saves nothing: see test_search_loop.py.
    images, target = batch()
    losses = strategy_of(small_supernet()).step((images * float("nan"), target), progress=0.0)
    assert losses.weights.isnan()


@pytest.mark.parametrize("foreach", [True, False])
def test_fused_optimizers_equal_the_others_within_rounding(foreach):
    generator = torch.Generator().manual_seed(1)
    start = [torch.randn(n, generator=generator) for n in (1, 7, 200, 4099)]

    def moved(kind, **options):
        parameters = [torch.nn.Parameter(value.clone()) for value in start]
        optimizer = kind(parameters, weight_decay=1e-2, **options)
        generator = torch.Generator().manual_seed(2)
        for _ in range(20):
            for parameter in parameters:
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimizer.step()
        return [parameter.detach() for parameter in parameters]

    for kind, options in (
        (torch.optim.SGD, {"lr": 0.025, "momentum": 0.9}),
        (torch.optim.Adam, {"lr": 3e-3}),
    ):
        fused, other = moved(kind, **options, fused=True), moved(kind, **options, foreach=foreach)
        # 20 float32 steps at values of a few units, of which each rounds by 6e-8 of its value.
        torch.testing.assert_close(fused, other, rtol=2e-6, atol=2e-6)
    rate = torch.tensor(0.025)
    by_tensor = moved(torch.optim.SGD, lr=rate, momentum=0.9, fused=True)
    by_number = moved(torch.optim.SGD, lr=0.025, momentum=0.9, fused=True)
    torch.testing.assert_close(by_tensor, by_number, rtol=1e-6, atol=1e-6)


def test_a_checkpoint_goes_to_a_strategy_with_other_device_settings():
    # What a GPU saves: its graph asks for counters that can be captured.
    nets = [small_supernet(), small_supernet()]
    saving, loading = (strategy_of(net) for net in nets)
    saving.step(batch(), batch(), progress=0.0)
    saving.arch_optimizer.param_groups[0]["capturable"] = True
    rate = loading.weight_optimizer.param_groups[0]["lr"]
    loading.load_state_dict(copy.deepcopy(saving.state_dict()))
    assert loading.weight_optimizer.param_groups[0]["lr"] is rate
    assert loading.arch_optimizer.param_groups[0]["capturable"] is False
    for strategy in (saving, loading):
        strategy.step(batch(), batch(), progress=0.5)
    for parameter, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(parameter, other)
