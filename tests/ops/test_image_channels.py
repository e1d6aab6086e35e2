"""Networks for images of other channels than three."""

import pytest
import torch
from torch import nn

from autoseg.ops import adapted_weight, image_channels, reads_image, set_image_channels_


def network():
    return nn.Sequential(reads_image(nn.Conv2d(3, 5, 3, padding=1)), nn.Conv2d(5, 3, 1)).double()


def test_a_grey_image_gives_what_it_gave_as_three_equal_channels():
    rgb, grey = network(), torch.rand(2, 1, 6, 7, dtype=torch.float64)
    expected = rgb(grey.expand(-1, 3, -1, -1))
    set_image_channels_(rgb, 1)
    assert image_channels(rgb) == 1
    torch.testing.assert_close(rgb(grey), expected)


@pytest.mark.parametrize("num_channels", [2, 4, 7, 16])
def test_more_channels_get_the_three_in_turn(num_channels):
    weight = torch.rand(5, 3, 2, 2, dtype=torch.float64)
    adapted = adapted_weight(weight, num_channels)
    assert adapted.shape == (5, num_channels, 2, 2)
    for channel in range(num_channels):
        expected = weight[:, channel % 3] * 3 / num_channels
        torch.testing.assert_close(adapted[:, channel], expected)


def test_six_equal_channels_give_what_three_gave():
    rgb, image = network(), torch.rand(1, 1, 4, 4, dtype=torch.float64)
    expected = rgb(image.expand(-1, 3, -1, -1))
    set_image_channels_(rgb, 6)
    torch.testing.assert_close(rgb(image.expand(-1, 6, -1, -1)), expected)


def test_what_cannot_be_adapted_is_said():
    with pytest.raises(ValueError, match=r"Conv2d cannot be adapted to images of 4 channel\(s\)"):
        set_image_channels_(nn.Conv2d(3, 5, 1), 4)
    adapted = network()
    set_image_channels_(adapted, 4)
    set_image_channels_(adapted, 4)
    with pytest.raises(ValueError, match=r"1 convolution\(s\) that are known .* of 4 channel"):
        set_image_channels_(adapted, 1)
