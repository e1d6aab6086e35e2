"""The encoders' blocks against their papers' figures, written out over the state dict."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.networks.encoders.densenet import DENSENET121, DenseBlock, DenseNet
from autoseg.networks.encoders.googlenet import Inception
from autoseg.networks.encoders.mobilenet_v2 import InvertedResidual
from autoseg.networks.encoders.xception65 import XceptionBlock


class Weights:
    """A module's state dict, and the two functions that blocks are made of."""

    def __init__(self, module: nn.Module, *, eps: float = 1e-5) -> None:
        self.state = module.state_dict()
        self.eps = eps

    def conv(self, name: str, features: Tensor, *, stride: int = 1, rate: int = 1) -> Tensor:
        weight = self.state[f"{name}.weight"]
        groups = features.shape[1] // weight.shape[1]
        padding = rate * (weight.shape[2] // 2)
        return F.conv2d(
            features, weight, stride=stride, padding=padding, dilation=rate, groups=groups
        )

    def norm(self, name: str, features: Tensor) -> Tensor:
        keys = ("weight", "bias", "running_mean", "running_var")
        scale, shift, mean, variance = (self.state[f"{name}.{key}"][:, None, None] for key in keys)
        return (features - mean) / torch.sqrt(variance + self.eps) * scale + shift


def randomised(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            for values in (part.bias, part.running_mean):
                nn.init.normal_(values)
            for values in (part.weight, part.running_var):
                nn.init.uniform_(values, 0.5, 1.5)
    return module.double().eval()


def random_features(channels: int) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(2, channels, 7, 10, dtype=torch.float64)


@pytest.mark.parametrize(("out_channels", "stride"), [(4, 1), (4, 2), (5, 1)])
def test_inverted_residual(out_channels: int, stride: int) -> None:
    block = randomised(InvertedResidual(4, out_channels, stride=stride, expansion=3))
    weights, features = Weights(block), random_features(4)
    inner = weights.norm("conv.0.1", weights.conv("conv.0.0", features)).clamp(0, 6)
    inner = weights.conv("conv.1.0", inner, stride=stride)
    inner = weights.norm("conv.1.1", inner).clamp(0, 6)
    expected = weights.norm("conv.3", weights.conv("conv.2", inner))
    if (out_channels, stride) == (4, 1):
        expected = expected + features
    torch.testing.assert_close(block(features), expected)


def test_dense_block() -> None:
    block = randomised(DenseBlock(2, 4, 3))
    weights, stack = Weights(block), random_features(4)
    expected = stack.clone()
    for layer in ("denselayer1", "denselayer2"):
        inner = weights.norm(f"{layer}.norm1", expected).clamp(min=0)
        inner = weights.conv(f"{layer}.conv1", inner)
        inner = weights.norm(f"{layer}.norm2", inner).clamp(min=0)
        expected = torch.cat([expected, weights.conv(f"{layer}.conv2", inner)], dim=1)
    torch.testing.assert_close(block(stack), expected)


def test_densenets_maps_and_transitions() -> None:
    network = randomised(DenseNet(DENSENET121, num_classes=None, width=0.125))
    weights = Weights(network.get_submodule("features"))
    images = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    features = weights.norm("norm0", weights.conv("conv0", images, stride=2)).clamp(min=0)
    features = F.max_pool2d(features, 3, stride=2, padding=1)
    maps = network.maps(images, stages=(1, 2, 3, 4))
    for stage in (1, 2, 3, 4):
        features = network.get_submodule(f"features.denseblock{stage}")(features)
        name = "norm5" if stage == 4 else f"transition{stage}.norm"
        features = weights.norm(name, features).clamp(min=0)
        torch.testing.assert_close(maps[stage - 1], features)
        if stage < 4:
            features = weights.conv(f"transition{stage}.conv", features)
            features = (features[:, :, ::2] + features[:, :, 1::2]) / 2
            features = (features[..., ::2] + features[..., 1::2]) / 2


def test_inception() -> None:
    block = randomised(Inception(4, (2, 3, 5, 6, 7, 8)))
    weights, features = Weights(block, eps=1e-3), random_features(4)

    def layer(name: str, maps: Tensor) -> Tensor:
        return weights.norm(f"{name}.bn", weights.conv(f"{name}.conv", maps)).clamp(min=0)

    expected = [
        layer("branch1", features),
        layer("branch2.1", layer("branch2.0", features)),
        layer("branch3.1", layer("branch3.0", features)),
        layer("branch4.1", F.max_pool2d(features, 3, stride=1, padding=1)),
    ]
    torch.testing.assert_close(block(features), torch.cat(expected, dim=1))


@pytest.mark.parametrize(
    ("channels", "stride", "rate", "has_shortcut"),
    [
        ((4, 4, 4), 1, 1, True),
        ((5, 6, 7), 2, 1, True),
        ((4, 6, 4), 1, 3, True),
        ((5, 6, 7), 1, 2, False),
    ],
)
def test_xception_block(
    channels: tuple[int, int, int], stride: int, rate: int, has_shortcut: bool
) -> None:
    built = XceptionBlock(4, channels, stride=stride, rate=rate, has_shortcut=has_shortcut)
    block, features = randomised(built), random_features(4)
    weights = Weights(block, eps=1e-3)
    expected = features
    for number in (1, 2, 3):
        at = f"stack.conv{number}"
        if has_shortcut:
            expected = expected.clamp(min=0)
        expected = weights.conv(
            f"{at}.conv_dw", expected, stride=stride if number == 3 else 1, rate=rate
        )
        expected = weights.norm(f"{at}.bn_dw", expected)
        expected = expected if has_shortcut else expected.clamp(min=0)
        expected = weights.norm(f"{at}.bn_pw", weights.conv(f"{at}.conv_pw", expected))
        expected = expected if has_shortcut else expected.clamp(min=0)
    if has_shortcut and (stride, channels[2]) == (1, 4):
        expected = expected + features
    elif has_shortcut:
        shortcut = weights.conv("shortcut.conv", features, stride=stride)
        expected = expected + weights.norm("shortcut.bn", shortcut)
    torch.testing.assert_close(block(features), expected)
