"""Convolution blocks against scipy."""

import numpy as np
import pytest
from torch import nn

from autoseg.ops import conv_bn, conv_bn_relu, conv_relu
from tests.ops import oracles
from tests.ops.randomised import random_maps, randomise_

CASES = [
    {},
    {"kernel_size": 3},
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 5, "stride": 2, "dilation": 2},
    {"kernel_size": 3, "dilation": 4},
    {"kernel_size": 3, "groups": 2},
    {"kernel_size": 5, "dilation": 3, "groups": 4},
    {"kernel_size": 1, "stride": 2},
    {"kernel_size": 7, "stride": 4},
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_equals_correlation_and_normalisation(case, training):
    block = randomise_(conv_bn(4, 8, **case)).train(training)
    maps = random_maps(2, 4, 11, 14)
    weight = block.state_dict()["0.weight"].numpy()
    options = {key: case[key] for key in ("stride", "dilation", "groups") if key in case}
    expected = oracles.batch_norm(
        oracles.convolve(maps.numpy(), weight, **options), block[1], training=training
    )
    # float64 rounding of sums of at most 200 products.
    np.testing.assert_allclose(block(maps).detach().numpy(), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_relu_comes_last(case):
    plain, rectified = conv_bn(4, 8, **case).double(), conv_bn_relu(4, 8, **case).double()
    rectified.load_state_dict(plain.state_dict())
    maps = random_maps(2, 4, 11, 14)
    pred = rectified(maps)
    assert pred.equal(plain(maps).relu())
    assert (pred == 0).any()


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("dilation", [1, 2, 6])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
def test_output_has_ceil_of_size_over_stride(kernel_size, dilation, stride):
    block = conv_bn(1, 1, kernel_size, stride=stride, dilation=dilation).eval()
    for height, width in ((12, 13), (1, 2), (33, 8)):
        out = block(random_maps(1, 1, height, width).float())
        assert out.shape == (1, 1, -(-height // stride), -(-width // stride))


def test_number_of_parameters():
    # Weights without bias, then a scale and a shift a channel.
    for groups in (1, 2):
        block = conv_bn(4, 6, 3, groups=groups)
        assert sum(p.numel() for p in block.parameters()) == 9 * 4 // groups * 6 + 2 * 6
        assert [type(layer) for layer in block] == [nn.Conv2d, nn.BatchNorm2d]


def test_bias_comes_before_the_normalisation():
    block, plain = conv_bn(4, 6, 3, bias=True).double().eval(), conv_bn(4, 6, 3).double().eval()
    block.load_state_dict(plain.state_dict(), strict=False)
    maps = random_maps(2, 4, 5, 7)
    shift = block[0].bias.detach()[:, None, None] / (1 + block[1].eps) ** 0.5
    np.testing.assert_allclose(block(maps).detach(), (plain(maps) + shift).detach(), atol=1e-12)
    assert conv_bn_relu(4, 6, 3, bias=True)[0].bias is not None
    assert plain[0].bias is None


@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (3, 1), (3, 12), (7, 4), (4, 8)])
def test_conv_relu_is_a_correlation_with_zeros_around(kernel_size, dilation):
    block = conv_relu(2, 3, kernel_size, dilation=dilation).double()
    maps = random_maps(1, 2, 5, 7)
    reach = dilation * (kernel_size - 1) // 2
    around = np.pad(maps.numpy(), ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    weight, bias = (value.numpy() for value in block.state_dict().values())
    expected = np.zeros((1, 3, 5, 7)) + bias[:, None, None]
    for row in range(kernel_size):
        for column in range(kernel_size):
            window = around[:, :, row * dilation :, column * dilation :][:, :, :5, :7]
            expected += np.einsum("oi,nihw->nohw", weight[:, :, row, column], window)
    np.testing.assert_allclose(block(maps).detach(), np.maximum(expected, 0), atol=1e-12)
