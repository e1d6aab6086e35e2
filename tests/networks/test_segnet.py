"""SegNet: the places of the maxima are all that the decoder gets of the encoder."""

import pytest
import torch
from torch import nn

from autoseg.networks.segnet import SegNet, segnet_basic, segnet_vgg16


@pytest.mark.parametrize("size", [(8, 16), (7, 13), (1, 1)])
def test_without_convolutions_the_largest_pixel_of_each_block_remains(size) -> None:
    torch.manual_seed(0)
    blocks = [nn.ModuleList(nn.Identity() for _ in range(3)) for _ in range(2)]
    classifier = nn.Conv2d(2, 2, 1)
    network = SegNet(blocks[0], blocks[1], classifier)
    with torch.no_grad():
        classifier.weight.copy_(torch.eye(2)[:, :, None, None])
    images = torch.randn(3, 2, *size)
    expected = torch.zeros_like(images)
    for row in range(0, size[0], 8):
        for column in range(0, size[1], 8):
            window = images[:, :, row : row + 8, column : column + 8]
            is_largest = window == window.amax(dim=(2, 3), keepdim=True)
            expected[:, :, row : row + 8, column : column + 8] = window * is_largest
    assert torch.equal(network(images), expected)


def test_a_block_convolves_before_it_pools_and_after_it_unpools() -> None:
    network = segnet_vgg16(5, width=0.125).eval()
    seen: dict[str, tuple[int, ...]] = {}
    for name, blocks in (("encoder", network.encoder), ("decoder", network.decoder)):
        for level, block in enumerate(blocks):
            block.register_forward_hook(
                lambda _module, _inputs, output, key=f"{name}{level}": seen.update(
                    {key: tuple(output.shape[1:])}
                )
            )
    network(torch.randn(1, 3, 90, 120))
    # 90 and 45 rows: rounded up when pooled, 45 -> 23.
    assert [seen[f"encoder{level}"] for level in range(5)] == [
        (8, 90, 120),
        (16, 45, 60),
        (32, 23, 30),
        (64, 12, 15),
        (64, 6, 8),
    ]
    assert [seen[f"decoder{level}"] for level in range(5)] == [
        (64, 6, 8),
        (32, 12, 15),
        (16, 23, 30),
        (8, 45, 60),
        (8, 90, 120),
    ]


def test_basic_decodes_without_relu_and_normalises_the_image() -> None:
    network = segnet_basic(5)
    kinds = [type(part) for block in network.decoder for part in block.children()]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d] * 4
    kinds = [type(part) for block in network.encoder for part in block.children()]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 4
    images = 100 * torch.randn(1, 3, 4, 5)
    expected = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)(images)
    torch.testing.assert_close(network.normalise(images), expected)


@pytest.mark.parametrize("build", [segnet_vgg16, segnet_basic])
def test_every_convolution_has_a_bias(build) -> None:
    convolutions = [m for m in build(5, width=0.125).modules() if isinstance(m, nn.Conv2d)]
    assert all(layer.bias is not None for layer in convolutions)
