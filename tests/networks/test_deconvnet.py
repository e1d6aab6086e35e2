import pytest
import torch
from torch import nn

from autoseg.networks.deconvnet import DeconvNet, deconvnet_vgg16


def small_network() -> DeconvNet:
    torch.manual_seed(0)
    return deconvnet_vgg16(4, width=0.125).eval()


@pytest.mark.parametrize(("size", "padded"), [((200, 225), (224, 256)), ((1, 300), (224, 320))])
def test_images_are_padded_to_whole_windows_and_cropped(size, padded) -> None:
    network = small_network()
    images = torch.randn(1, 3, *size)
    larger = torch.zeros(1, 3, *padded)
    larger[:, :, : size[0], : size[1]] = images
    assert torch.equal(network(images), network(larger)[:, :, : size[0], : size[1]])


def test_a_window_of_the_papers_size_becomes_one_column() -> None:
    network = small_network()
    shapes = {}
    for name in ("fc6", "fc7", "deconv6"):
        network.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: shapes.update({name: output.shape})
        )
    network(torch.randn(1, 3, 224, 224))
    assert shapes == {"fc6": (1, 512, 1, 1), "fc7": (1, 512, 1, 1), "deconv6": (1, 64, 7, 7)}


def test_every_layer_but_the_last_has_bias_norm_and_relu() -> None:
    network = small_network()
    layers = [
        module
        for module in network.modules()
        if not list(module.children()) and not isinstance(module, nn.Identity)
    ]
    *before, last = layers
    convolutions = before[::3]
    assert len(convolutions) == 13 + 3 + 13
    assert all(isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) for layer in convolutions)
    assert all(layer.bias is not None for layer in convolutions)
    assert all(isinstance(layer, nn.BatchNorm2d) for layer in before[1::3])
    assert all(isinstance(layer, nn.ReLU) for layer in before[2::3])
    assert isinstance(last, nn.Conv2d)
