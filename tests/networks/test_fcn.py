"""FCN: crops that keep the scores over their pixels, at any size."""

import pytest
import torch
from torch import nn

from autoseg.networks import build_network
from autoseg.networks.fcn import FCN, fcn8s_vgg16, fcn_alexnet
from autoseg.networks.weightless import weightless

NAMES = ["fcn32s_vgg16", "fcn16s_vgg16", "fcn8s_vgg16", "fcn_alexnet"]


def first(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else value[0]


def grid_after(layers: nn.Module, grid: tuple[float, float]) -> tuple[float, float]:
    """Follow which pixel of the image position x has its centre on: scale * x + shift."""
    scale, shift = grid
    for layer in layers.modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            shift += scale * ((first(layer.kernel_size) - 1) / 2 - first(layer.padding))
            scale *= first(layer.stride)
    return scale, shift


@pytest.mark.parametrize("name", NAMES)
def test_scores_lie_over_their_pixels(name: str) -> None:
    network = build_network(name, num_classes=2, width=0.125)
    assert isinstance(network, FCN)
    grid, grids = (1.0, float(-network.padding)), []
    for stage in network.stages:
        grid = grid_after(stage, grid)
        grids.append(grid)
    scale, shift = grid_after(network.context, grid)
    skips = iter(zip(reversed(grids[:-1]), network.skip_offsets, strict=True))
    for layer in network.upsample:
        # Output y = stride * x + (kernel - 1) / 2.
        scale /= layer.stride[0]
        shift -= scale * (layer.kernel_size[0] - 1) / 2
        skip = next(skips, None)
        if skip is not None:
            (skip_scale, skip_shift), offset = skip
            assert scale == skip_scale
            assert skip_scale * offset + skip_shift == shift
    assert scale == 1
    assert network.offset == -shift


@pytest.mark.parametrize("name", NAMES)
def test_every_size_is_covered(name: str) -> None:
    with weightless():
        network = build_network(name, num_classes=2, width=0.125).eval()
        for side in range(1, 68):
            images = torch.empty(1, 3, side, side + 100)
            assert network(images).shape == (1, 2, side, side + 100)


def test_skips_are_added_to_the_scores_of_deeper_maps() -> None:
    network = fcn8s_vgg16(2, width=0.125).eval()
    images = torch.randn(1, 3, 160, 168)
    for layer in [network.score, *network.score_skips]:
        nn.init.zeros_(layer.weight)
    biases = (1.0, 2.0, 4.0)
    for layer, bias in zip([network.score, *network.score_skips], biases, strict=True):
        assert layer.bias is not None
        nn.init.constant_(layer.bias, bias)
    # Away from the border bilinear layers keep a constant; a stage that is left out would show.
    inner = network(images)[:, :, 64:96, 64:96]
    torch.testing.assert_close(inner, torch.full((1, 2, 32, 32), 7.0))


def test_alexnet_has_two_columns() -> None:
    convolutions = [m for m in fcn_alexnet(2).stages.modules() if isinstance(m, nn.Conv2d)]
    assert [layer.groups for layer in convolutions] == [1, 2, 1, 2, 2]
    assert [layer.out_channels for layer in convolutions] == [96, 256, 384, 384, 256]


def test_width_keeps_the_columns_equal() -> None:
    network = fcn_alexnet(2, width=0.13)
    for layer in network.stages.modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.out_channels % 2 == 0
