"""Each candidate operation against scipy, its size and its number of parameters."""

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.architecture import NO_OPERATION, OPERATIONS, Architecture
from autoseg.errors import UsageError
from autoseg.ops import build_operation
from autoseg.supernet.batch_norm import EPS
from tests.ops import oracles
from tests.ops.randomised import random_maps, randomise_

NAMES = [name for name in OPERATIONS if name != NO_OPERATION]


def layers_of(module):
    """Convolutions and batch norms of a module, each in the order of application."""
    convs = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    return [conv.weight.detach().numpy() for conv in convs], norms


def separable(maps, depthwise, pointwise, norm, *, stride, dilation, training):
    """ReLU, depthwise, pointwise, batch norm."""
    maps = oracles.convolve(
        oracles.relu(maps), depthwise, stride=stride, dilation=dilation, groups=maps.shape[1]
    )
    return oracles.batch_norm(oracles.convolve(maps, pointwise), norm, training=training)


def expected_of(name, module, maps, *, stride, training):
    """What the papers define, from the weights of `module`."""
    weights, norms = layers_of(module)
    if name == "skip_connect":
        if stride == 1:
            return maps
        maps = oracles.convolve(oracles.relu(maps), weights[0], stride=2)
    elif name.endswith("pool_3x3"):
        statistic = np.nanmax if name.startswith("max") else np.nanmean
        maps = oracles.pool(maps, statistic, stride=stride)
    elif name.startswith("dil_conv"):
        return separable(
            maps, weights[0], weights[1], norms[0], stride=stride, dilation=2, training=training
        )
    elif name.startswith("sep_conv"):
        maps = separable(
            maps, weights[0], weights[1], norms[0], stride=stride, dilation=1, training=training
        )
        return separable(
            maps, weights[2], weights[3], norms[1], stride=1, dilation=1, training=training
        )
    elif stride == 1:
        maps = oracles.convolve(oracles.relu(maps), weights[0], dilation=2)
    else:
        halved = [-(-side // 2) for side in maps.shape[2:]]
        maps = oracles.interpolate(oracles.relu(maps), halved, align_corners=True)
        maps = oracles.convolve(maps, weights[0])
    return oracles.batch_norm(maps, norms[0], training=training)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [(10, 13), (7, 8)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_equals_its_definition(name, stride, size, training):
    module = randomise_(build_operation(name, 4, stride)).train(training)
    maps = random_maps(3, 4, *size)
    before = maps.clone()
    out = module(maps).detach().numpy()
    expected = expected_of(name, module, maps.numpy(), stride=stride, training=training)
    # float64 rounding of sums of at most 100 products, normalised twice.
    np.testing.assert_allclose(out, expected, rtol=1e-9, atol=1e-9)
    # Other edges read the same state: it must not be changed in place.
    assert torch.equal(maps, before)


@pytest.mark.parametrize("name", [NO_OPERATION, "sep_conv_7x7"])
def test_what_cannot_be_built_is_refused_with_the_names(name):
    with pytest.raises(UsageError, match=f"unknown operation '{name}'.*skip_connect"):
        build_operation(name, 4, 1)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_batch_norm_has_the_supernets_eps(name, stride):
    norms = [m for m in build_operation(name, 4, stride).modules() if isinstance(m, nn.BatchNorm2d)]
    assert {norm.eps for norm in norms} <= {EPS} == {1e-5}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_output_has_ceil_of_size_over_stride(name, stride):
    module = build_operation(name, 2, stride).eval()
    for height, width in ((8, 12), (9, 13), (8, 13), (1, 1), (2, 3)):
        out = module(random_maps(2, 2, height, width).float())
        assert out.shape == (2, 2, -(-height // stride), -(-width // stride))


@pytest.mark.parametrize("channels", [1, 10])
@pytest.mark.parametrize("name", NAMES)
def test_number_of_parameters(name, channels):
    c, taps = channels, int(name[-1]) ** 2 if name[-1].isdigit() else 0
    separable_once = taps * c + c * c + 2 * c
    expected = {
        "skip_connect": (0, c * c + 2 * c),
        "max_pool": (2 * c, 2 * c),
        "avg_pool": (2 * c, 2 * c),
        "sep_conv": (2 * separable_once, 2 * separable_once),
        "dil_conv": (separable_once, separable_once),
        "atrous_conv": (taps * c * c + 2 * c, taps * c * c + 2 * c),
    }[name if name == "skip_connect" else name[: -len("_3x3")]]
    for stride in (1, 2):
        module = build_operation(name, channels, stride)
        assert sum(p.numel() for p in module.parameters()) == expected[stride - 1]


@pytest.mark.parametrize(("family", "total"), [("atrous", 4_890_120), ("sep", 1_364_200)])
def test_numbers_of_parameters_of_the_papers_cells(family, total):
    # Auto-DeepLab-S, F = 20: the operations of its 12 cells have these numbers in all.
    architecture = Architecture.load("autodeeplab_paper")
    num_params = 0
    for stride in architecture.path:
        for edge in (edge for node in architecture.cell for edge in node):
            if edge.op.startswith(family):
                module = build_operation(edge.op, 20 * stride // 4, 1)
                num_params += sum(p.numel() for p in module.parameters())
    assert num_params == total


def test_average_pooling_counts_the_pixels_inside_only():
    # Corner of a map of ones: 4 of 9 pixels lie inside; their mean is 1, not 4/9.
    module = build_operation("avg_pool_3x3", 1, 1).eval()
    maps = torch.arange(9.0).reshape(1, 1, 3, 3)
    # Means of the windows that are cut at the border, by hand; a fresh batch norm divides by
    # sqrt(1 + 1e-5).
    expected = torch.tensor([[2.0, 2.5, 3.0], [3.5, 4.0, 4.5], [5.0, 5.5, 6.0]])
    assert torch.allclose(module(maps)[0, 0], expected / (1 + 1e-5) ** 0.5, atol=1e-6)


def test_max_pooling_ignores_the_border_of_negative_maps():
    module = build_operation("max_pool_3x3", 1, 1).eval()
    assert module(torch.full((1, 1, 3, 4), -5.0)).max() < -4.9


def test_a_skip_at_stride_1_is_the_map_itself():
    maps = random_maps(2, 3, 4, 5)
    assert build_operation("skip_connect", 3, 1)(maps) is maps


@pytest.mark.parametrize(("size", "reach"), [(3, 1), (5, 2)])
def test_atrous_reaches_as_far_in_the_input_at_both_strides(size, reach):
    # Odd maps: aligned corners put the pixels of the half map on every second one of the map, so
    # rate 1 there is rate 2 here and stride 2 equals every second pixel of stride 1.
    full = randomise_(build_operation(f"atrous_conv_{size}x{size}", 3, 1)).eval()
    half = randomise_(build_operation(f"atrous_conv_{size}x{size}", 3, 2)).eval()
    half.load_state_dict(full.state_dict())
    maps = random_maps(1, 3, 13, 17)
    assert torch.allclose(half(maps), full(maps)[:, :, ::2, ::2], rtol=0, atol=1e-11)
    impulse = torch.zeros(1, 3, 13, 17, dtype=torch.float64)
    impulse[:, :, 6, 8] = 1
    touched = (full(impulse) != full(0 * impulse)).any(dim=1)[0].nonzero() - torch.tensor([6, 8])
    assert touched.abs().max() == 2 * reach
    assert (touched % 2 == 0).all()
