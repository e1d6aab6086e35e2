"""U-Net against its figure."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.networks.unet import UNet, unet
from autoseg.networks.weightless import weightless
from tests.networks import counts


def test_parameters_of_the_papers_form() -> None:
    with weightless():
        network = unet(2, in_channels=1)
    assert sum(parameter.numel() for parameter in network.parameters()) == 31_030_658
    assert counts.unet(2, in_channels=1) == 31_030_658


def small_network() -> UNet:
    torch.manual_seed(0)
    network = UNet(num_classes=4, in_channels=2, channels=(3, 5, 7)).double().eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    return network


def test_wiring_is_the_figures() -> None:
    network = small_network()
    weights = network.state_dict()

    def twice(features: Tensor, name: str) -> Tensor:
        for layer in (0, 2):
            weight, bias = weights[f"{name}.{layer}.weight"], weights[f"{name}.{layer}.bias"]
            features = F.conv2d(features, weight, bias, padding=1).clamp(min=0)
        return features

    def up(features: Tensor, name: str) -> Tensor:
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return F.conv_transpose2d(features, weight, bias, stride=2)

    images = torch.randn(2, 2, 8, 12, dtype=torch.float64)
    fine = twice(images, "contracting.0")
    middle = twice(F.max_pool2d(fine, 2), "contracting.1")
    coarse = twice(F.max_pool2d(middle, 2), "contracting.2")
    middle = twice(torch.cat([middle, up(coarse, "up.0")], dim=1), "expanding.0")
    fine = twice(torch.cat([fine, up(middle, "up.1")], dim=1), "expanding.1")
    expected = F.conv2d(fine, weights["classifier.weight"], weights["classifier.bias"])
    torch.testing.assert_close(network(images), expected)


def test_other_sizes_are_padded_with_zeros_and_cropped() -> None:
    network = small_network()
    images = torch.randn(2, 2, 5, 11, dtype=torch.float64)
    padded = torch.zeros(2, 2, 8, 12, dtype=torch.float64)
    padded[:, :, :5, :11] = images
    assert torch.equal(network(images), network(padded)[:, :, :5, :11])
