"""The stem against scipy, and its two taps."""

import numpy as np
import pytest

from autoseg.ops import Stem
from tests.ops import oracles
from tests.ops.randomised import random_maps, randomise_


def block(maps, conv_bn, *, stride, training):
    maps = oracles.convolve(maps, conv_bn[0].weight.detach().numpy(), stride=stride)
    return oracles.batch_norm(maps, conv_bn[1], training=training)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [(12, 16), (13, 9)])
def test_equals_three_convolutions_tapped_before_their_relu(size, training):
    stem = randomise_(Stem((4, 5, 7))).train(training)
    images = random_maps(2, 3, *size)
    half, quarter = (maps.detach().numpy() for maps in stem(images))
    first = oracles.relu(block(images.numpy(), stem.conv1, stride=2, training=training))
    second = block(first, stem.conv2, stride=1, training=training)
    third = block(oracles.relu(second), stem.conv3, stride=2, training=training)
    # float64 rounding through three layers.
    np.testing.assert_allclose(half, second, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(quarter, third, rtol=1e-9, atol=1e-9)
    assert half.min() < 0 and quarter.min() < 0


@pytest.mark.parametrize("size", [(32, 48), (33, 47), (5, 3), (1, 2)])
def test_sizes_are_halved_upwards_twice(size):
    half, quarter = Stem((4, 5, 7)).eval()(random_maps(2, 3, *size).float())
    halved = [-(-side // 2) for side in size]
    assert half.shape == (2, 5, *halved)
    assert quarter.shape == (2, 7, *[-(-side // 2) for side in halved])


def test_number_of_parameters_of_the_papers_stem():
    # 3x3 to 64 (stride 2), 64 and 128 (stride 2) channels, each with batch norm: 112,832.
    assert sum(p.numel() for p in Stem((64, 64, 128)).parameters()) == 112_832
