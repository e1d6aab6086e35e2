"""Atrous pyramid pooling against scipy, branch by branch."""

import numpy as np
import pytest
import torch

from autoseg.ops import ASPP, ImagePooling
from tests.ops import oracles
from tests.ops.randomised import random_maps, randomise_


def block(maps, layers, *, dilation=1, training):
    """Convolution, batch norm, ReLU."""
    maps = oracles.convolve(maps, layers[0].weight.detach().numpy(), dilation=dilation)
    return oracles.relu(oracles.batch_norm(maps, layers[1], training=training))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rates", [(), (2,), (1, 3, 12)])
def test_equals_its_branches(rates, training):
    aspp = randomise_(ASPP(4, 6, rates=rates)).train(training)
    maps = random_maps(3, 4, 7, 9)
    values = maps.numpy()
    branches = [block(values, aspp.pointwise, training=training)]
    for rate, layers in zip(rates, aspp.atrous, strict=True):
        branches.append(block(values, layers, dilation=rate, training=training))
    mean = values.mean(axis=(2, 3), keepdims=True)
    pooled = block(mean, aspp.pooling.project, training=training)
    branches.append(np.broadcast_to(pooled, branches[0].shape))
    expected = block(np.concatenate(branches, axis=1), aspp.project, training=training)
    # float64 rounding of sums of at most 54 products.
    np.testing.assert_allclose(aspp(maps).detach().numpy(), expected, rtol=1e-9, atol=1e-9)
    assert (expected == 0).any() and (expected > 0).any()


def test_a_rate_beyond_the_map_leaves_a_1x1_convolution():
    # The reason why DeepLab v3 adds image pooling: only the centre tap still meets the map.
    branch = randomise_(ASPP(4, 6, rates=(9,))).eval().get_submodule("atrous.0")
    maps = random_maps(1, 4, 7, 9)
    centre = branch.state_dict()["0.weight"][:, :, 1, 1]
    expected = torch.einsum("oi,nihw->nohw", centre, maps)
    assert torch.allclose(branch.get_submodule("0")(maps), expected, rtol=0, atol=1e-12)


def test_number_of_parameters_of_the_papers_head():
    # Auto-DeepLab-S: 5 * 40 channels at stride 8 to 256; 1x1, three 3x3, pooling, projection.
    aspp = ASPP(200, 256, rates=(6, 12, 18))
    assert sum(p.numel() for p in aspp.parameters()) == 1_815_552


@pytest.mark.parametrize("size", [(1, 1), (5, 8)])
def test_image_pooling_averages_the_whole_map(size):
    pooling = randomise_(ImagePooling(3, 4)).eval()
    maps = random_maps(2, 3, *size)
    out = pooling(maps)
    assert out.shape == (2, 4, *size)
    # Any map of the same mean gives the same.
    constant = maps.mean(dim=(2, 3), keepdim=True).expand_as(maps)
    assert torch.allclose(out, pooling(constant), rtol=0, atol=1e-13)
    assert torch.equal(out, out[:, :, :1, :1].expand_as(out))
    expected = block(constant.numpy(), pooling.project, training=False)
    np.testing.assert_allclose(out.detach().numpy(), expected, atol=1e-13)


def test_image_pooling_trains_on_a_batch_of_one_with_running_statistics():
    pooling = randomise_(ImagePooling(3, 4)).train()
    before = {name: buffer.clone() for name, buffer in pooling.named_buffers()}
    maps = random_maps(1, 3, 5, 6, seed=3)
    out = pooling(maps)
    # By hand, one channel at a time: average, 1x1 convolution, batch norm, ReLU.
    convolution, norm = pooling.project[0].weight.detach()[:, :, 0, 0], pooling.project[1]
    expected = []
    for channel in range(4):
        value = sum(convolution[channel, i] * maps[0, i].sum() / 30 for i in range(3))
        value = (value - norm.running_mean[channel]) / (norm.running_var[channel] + 1e-5) ** 0.5
        value = norm.weight[channel] * value + norm.bias[channel]
        expected.append(max(0.0, value.item()))
    assert 0 < sum(value > 0 for value in expected) < 4
    for channel, value in enumerate(expected):
        assert out.shape == (1, 4, 5, 6)
        # float64 rounding of a sum of 30.
        assert torch.allclose(
            out[0, channel], torch.tensor(value, dtype=maps.dtype), rtol=1e-12, atol=0
        )
    for name, buffer in pooling.named_buffers():
        assert torch.equal(buffer, before[name]), name


def test_a_batch_of_one_trains_every_weight_of_the_pyramid():
    aspp = randomise_(ASPP(3, 4, rates=(2,))).train()
    maps = random_maps(1, 3, 5, 6).requires_grad_()
    # Against finite differences, of the parameters too.
    names = [name for name, _ in aspp.named_parameters()]
    parameters = [parameter.detach().requires_grad_() for parameter in aspp.parameters()]

    def function(maps, *values):
        return torch.func.functional_call(aspp, dict(zip(names, values, strict=True)), (maps,))

    assert torch.autograd.gradcheck(function, (maps, *parameters), fast_mode=True)


def test_larger_batches_use_and_update_batch_statistics():
    pooling = randomise_(ImagePooling(3, 4)).train()
    plain = randomise_(ImagePooling(3, 4)).train().project
    maps = random_maps(2, 3, 5, 6)
    expected = plain(maps.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, 5, 6)
    assert torch.equal(pooling(maps), expected)
    assert torch.equal(pooling.project[1].running_var, plain[1].running_var)
    assert pooling.project[1].num_batches_tracked == 1


def test_separable_branches_are_depthwise_then_pointwise():
    aspp = randomise_(ASPP(4, 6, rates=(2, 3), is_separable=True)).eval()
    maps = random_maps(2, 4, 7, 9)
    for rate, layers in zip((2, 3), aspp.atrous, strict=True):
        depthwise, pointwise = layers[:3], layers[3:]
        weight = depthwise[0].weight.detach().numpy()
        values = oracles.convolve(maps.numpy(), weight, dilation=rate, groups=4)
        values = oracles.relu(oracles.batch_norm(values, depthwise[1], training=False))
        expected = block(values, pointwise, training=False)
        np.testing.assert_allclose(layers(maps).detach().numpy(), expected, rtol=1e-9, atol=1e-9)
    plain = randomise_(ASPP(4, 6, rates=(2, 3)))
    saved = 9 * 4 * 6 + 2 * 6 - (9 * 4 + 2 * 4) - (4 * 6 + 2 * 6)
    counted = [sum(p.numel() for p in network.parameters()) for network in (plain, aspp)]
    assert counted[0] - counted[1] == 2 * saved
