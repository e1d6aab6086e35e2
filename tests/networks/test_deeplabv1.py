import pytest
import torch
from torch import nn

from autoseg.networks import build_network
from autoseg.networks.deeplabv1 import DeepLabV1, atrous_vgg16
from autoseg.networks.encoders.vgg import vgg_features
from autoseg.networks.weightless import weightless


def test_the_encoder_is_the_releases_layer_by_layer() -> None:
    # Kernel, stride, padding, rate; "c" is a convolution, "p" a max pooling.
    c1, c2 = ("c", 3, 1, 1, 1), ("c", 3, 1, 2, 2)
    halving, dense = ("p", 3, 2, 1, 1), ("p", 3, 1, 1, 1)
    expected = [c1, c1, halving, c1, c1, halving, c1, c1, c1, halving, c1, c1, c1, dense]
    expected += [c2, c2, c2, dense]
    built = []
    for layer in atrous_vgg16(width=0.125):
        if isinstance(layer, nn.Conv2d):
            sizes = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
            assert all(rows == columns for rows, columns in sizes)
            built.append(("c", *(rows for rows, _ in sizes)))
        elif isinstance(layer, nn.MaxPool2d):
            kind = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
            built.append(("p", *kind))
    assert built == expected


def test_the_encoder_takes_a_classifiers_weights() -> None:
    with weightless():
        dense, classifier = atrous_vgg16(), vgg_features(16)
    shapes = [
        [(key, value.shape) for key, value in network.state_dict().items()]
        for network in (dense, classifier)
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("name", "kernel_size", "rate"),
    [
        ("deeplab_largefov_vgg16", 3, 12),
        ("deeplab_7x7_vgg16", 7, 4),
        ("deeplab_4x4_vgg16", 4, 8),
    ],
)
@pytest.mark.parametrize("size", [(321, 513), (40, 57)])
def test_each_variant_sees_25_positions_at_stride_8(name, kernel_size, rate, size) -> None:
    with weightless():
        network = build_network(name, num_classes=2, width=0.125).eval()
        assert isinstance(network, DeepLabV1)
        features = network.context(network.encoder(torch.empty(1, 3, *size)))
    first = network.context[0]
    assert isinstance(first, nn.Conv2d)
    assert first.kernel_size == (kernel_size, kernel_size)
    assert first.dilation == (rate, rate)
    assert 1 + rate * (kernel_size - 1) == 25
    assert features.shape[2:] == (-(-size[0] // 8), -(-size[1] // 8))


@pytest.mark.parametrize(
    ("name", "is_smoothed"),
    [
        ("deeplab_largefov_vgg16", True),  # pool5a of the released network
        ("deeplab_7x7_vgg16", False),
        ("deeplab_4x4_vgg16", False),
    ],
)
def test_largefov_alone_averages_before_the_fully_connected_layers(name, is_smoothed) -> None:
    network = build_network(name, num_classes=2, width=0.125).double().eval()
    assert isinstance(network, DeepLabV1)
    torch.manual_seed(0)
    features = torch.randn(1, 64, 5, 6, dtype=torch.float64)
    # Caffe's average: sum of the window over the window's area, padding included.
    expected = features
    if is_smoothed:
        padded = nn.functional.pad(features, (1, 1, 1, 1))
        shifts = [padded[:, :, y : y + 5, x : x + 6] for y in range(3) for x in range(3)]
        expected = torch.stack(shifts).sum(dim=0) / 9
    network.encoder = nn.Sequential()
    seen = []
    network.context.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(features)
    torch.testing.assert_close(seen[0], expected)
