"""FC-DenseNet against its definition."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.networks.fc_densenet import FCDenseNet, fc_densenet103
from autoseg.networks.weightless import weightless


def small_network() -> FCDenseNet:
    torch.manual_seed(0)
    network = FCDenseNet((2, 1, 3, 2, 1), num_classes=4, stem_channels=5, growth=3)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return network.double().eval()


@pytest.mark.parametrize("size", [(8, 12), (9, 15)])
def test_wiring_is_the_papers(size: tuple[int, int]) -> None:
    network = small_network()
    weights = network.state_dict()

    def layer(features: Tensor, name: str) -> Tensor:
        # Untouched statistics: mean 0, variance 1.
        scale = weights[f"{name}.0.weight"] / (1 + 1e-5) ** 0.5
        normed = features * scale[:, None, None] + weights[f"{name}.0.bias"][:, None, None]
        weight, bias = weights[f"{name}.2.weight"], weights[f"{name}.2.bias"]
        return F.conv2d(normed.clamp(min=0), weight, bias, padding=weight.shape[2] // 2)

    def block(features: Tensor, name: str, num_layers: int) -> list[Tensor]:
        new: list[Tensor] = []
        for index in range(num_layers):
            new.append(layer(torch.cat([features, *new], dim=1), f"{name}.layers.{index}"))
        return new

    def up(features: Tensor, name: str, like: Tensor) -> Tensor:
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        enlarged = F.conv_transpose2d(features, weight, bias, stride=2)
        return enlarged[:, :, : like.shape[2], : like.shape[3]]

    images = torch.randn(2, 3, *size, dtype=torch.float64)
    stem = F.conv2d(images, weights["stem.weight"], weights["stem.bias"], padding=1)
    first = torch.cat([stem, *block(stem, "down.0", 2)], dim=1)
    shrunk = F.max_pool2d(layer(first, "shrink.0"), 2)
    second = torch.cat([shrunk, *block(shrunk, "down.1", 1)], dim=1)
    shrunk = F.max_pool2d(layer(second, "shrink.1"), 2)
    new = torch.cat(block(shrunk, "bottleneck", 3), dim=1)
    stack = torch.cat([up(new, "enlarge.0", second), second], dim=1)
    new = torch.cat(block(stack, "up.0", 2), dim=1)
    stack = torch.cat([up(new, "enlarge.1", first), first], dim=1)
    stack = torch.cat([stack, *block(stack, "up.1", 1)], dim=1)
    expected = F.conv2d(stack, weights["classifier.weight"], weights["classifier.bias"])
    torch.testing.assert_close(network(images), expected)


def test_small_images_are_padded_with_zeros_and_cropped() -> None:
    network = small_network()
    images = torch.randn(2, 3, 1, 6, dtype=torch.float64)
    padded = torch.zeros(2, 3, 4, 6, dtype=torch.float64)
    padded[:, :, :1] = images
    assert torch.equal(network(images), network(padded)[:, :, :1])


def test_widths_are_those_of_table_2() -> None:
    # m of the paper's table: feature maps after each dense block. It prints 578 for the third on
    # the way up, which no multiple of 16 added to 48 gives: 304 + 160 + 112 = 576.
    with weightless():
        network = fc_densenet103(11)
    down = [shrink.get_submodule("2").out_channels for shrink in network.shrink]
    assert down == [112, 192, 304, 464, 656]
    assert down[-1] + network.bottleneck.new_channels == 896
    stacks = [
        enlarge.out_channels + skip + block.new_channels
        for enlarge, skip, block in zip(network.enlarge, reversed(down), network.up, strict=True)
    ]
    assert stacks == [1088, 816, 576, 384, 256]
    assert network.classifier.in_channels == 256
