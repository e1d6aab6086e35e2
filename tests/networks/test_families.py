"""Decoders over encoders that were chosen apart from them."""

import re

import pytest
import torch
from torch import nn

from autoseg.architecture import Architecture
from autoseg.errors import UsageError
from autoseg.networks import (
    ENCODERS,
    FAMILIES,
    NETWORKS,
    Encoder,
    TrainingLogits,
    build_network,
    inference_parameters,
)
from autoseg.networks.encoders.googlenet import GoogLeNet
from autoseg.networks.weightless import weightless
from tests.networks import counts

# One of each kind.
KINDS = ("alexnet", "vgg11", "googlenet", "resnet18", "densenet121", "mobilenet_v2", "xception65")
STRIDES = {"fcn": 8, "pspnet": 8, "deeplabv3": 16, "deeplabv3plus": 16}


def test_families_are_the_documented_ones() -> None:
    assert {name: family.output_stride for name, family in FAMILIES.items()} == STRIDES
    assert not set(FAMILIES) & set(NETWORKS)
    assert {family for family, _ in PAIRS} == set(FAMILIES)
    assert {encoder for _, encoder in PAIRS} == set(KINDS)


# Every family with half of the kinds, every kind with half of the families.
PAIRS = [
    (family, encoder)
    for row, family in enumerate(FAMILIES)
    for column, encoder in enumerate(KINDS)
    if (row + column) % 2
]


@pytest.mark.parametrize(("family", "encoder"), PAIRS)
def test_every_family_reads_every_kind_of_encoder(family: str, encoder: str) -> None:
    """Shapes alone, on meta tensors: at odd sizes, and in training."""
    with weightless():
        network = build_network(family, encoder=encoder, num_classes=3, width=0.125)
        assert network.eval()(torch.empty(2, 3, 97, 130)).shape == (2, 3, 97, 130)
        result = network.train()(torch.empty(2, 3, 64, 64))
        assert isinstance(result, TrainingLogits) == (family in ("fcn", "pspnet"))
        logits = result.logits if isinstance(result, TrainingLogits) else result
        assert logits.shape == (2, 3, 64, 64)
    inner = network.get_submodule("encoder")
    assert isinstance(inner, Encoder)
    assert inner.output_stride == STRIDES[family]


# Weights of the decoder over maps of c1 to c4 channels and k classes, by the papers' layers.
DECODERS = {
    "fcn": lambda c1, c4, k: counts.conv_bn(3, c4, 512) + counts.conv(1, 512, k),
    "pspnet": lambda c1, c4, k: (
        4 * counts.conv_bn(1, c4, 512)
        + counts.conv_bn(3, c4 + 4 * 512, 512)
        + counts.conv(1, 512, k)
    ),
    "deeplabv3": lambda c1, c4, k: (
        2 * counts.conv_bn(1, c4, 256)
        + 3 * counts.conv_bn(3, c4, 256)
        + counts.conv_bn(1, 5 * 256, 256)
        + counts.conv_bn(3, 256, 256)
        + counts.conv(1, 256, k)
    ),
    "deeplabv3plus": lambda c1, c4, k: (
        2 * counts.conv_bn(1, c4, 256)
        + 3 * counts.conv_bn(3, c4, 256)
        + counts.conv_bn(1, 5 * 256, 256)
        + counts.conv_bn(1, c1, 48)
        + counts.conv_bn(3, 256 + 48, 256)
        + counts.conv_bn(3, 256, 256)
        + counts.conv(1, 256, k)
    ),
}
# Channels of stages 1 and 4, and parameters without the classifier: the papers' and torchvision's.
ENCODER_SIZES = {
    "resnet18": (64, 512, 11_176_512),
    "densenet121": (256, 1024, 6_953_856),
    "vgg11": (256, 512, 9_220_480),
}


@pytest.mark.parametrize("encoder", ENCODER_SIZES)
@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_are_the_encoders_and_the_decoders(family: str, encoder: str) -> None:
    with weightless():
        network = build_network(family, encoder=encoder, num_classes=21)
    c1, c4, num_params = ENCODER_SIZES[encoder]
    counted = sum(parameter.numel() for parameter in inference_parameters(network))
    assert counted == num_params + DECODERS[family](c1, c4, 21)


@pytest.mark.parametrize(
    "name",
    [
        "deeplabv3plus_resnet50",
        "deeplabv3plus_xception65",
        "deeplabv3_mobilenet_v2",
        "pspnet_resnet50",
        "fcn_alexnet",
    ],
)
def test_a_published_pair_is_the_published_network(name: str) -> None:
    family, encoder = name.split("_", 1)
    torch.manual_seed(0)
    network = build_network(family, encoder=encoder, num_classes=3, width=0.125)
    torch.manual_seed(0)
    published = build_network(name, num_classes=3, width=0.125)
    assert str(network) == str(published)  # rates and strides as well
    for built, expected in zip(network.parameters(), published.parameters(), strict=True):
        assert torch.equal(built, expected)


def test_a_pair_learns() -> None:
    """All parameters of an unpublished pair get a gradient, and the loss of one batch falls."""
    torch.manual_seed(0)
    network = build_network("deeplabv3", encoder="resnet18", num_classes=3, width=0.125)
    target = torch.arange(64).div(22, rounding_mode="floor").expand(2, 48, 64)
    colours = nn.functional.one_hot(target, 3).permute(0, 3, 1, 2)  # (N, H, W, 3) -> (N, 3, H, W)
    images = colours + 0.1 * torch.randn(2, 3, 48, 64)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    losses = []
    for _ in range(14):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(images), target)
        loss.backward()
        losses.append(loss.item())
        assert all(parameter.grad is not None for parameter in network.parameters())
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]


def test_an_encoder_that_is_built_is_taken_as_it_is() -> None:
    encoder = GoogLeNet(num_classes=None, is_input_halved=True, output_stride=8, width=0.25)
    network = build_network("deeplabv3plus", encoder=encoder, num_classes=3, width=0.125)
    assert network.get_submodule("encoder") is encoder
    # At stride 8 the pyramid has twice the rates of stride 16.
    rates = {
        module.dilation[0]
        for module in network.get_submodule("aspp").modules()
        if isinstance(module, nn.Conv2d)
    }
    assert rates == {1, 12, 24, 36}


def refused(message: str, name: object, **options: object) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        build_network(name, num_classes=3, **options)  # type: ignore[arg-type]


def test_wrong_calls_are_told_the_right_one() -> None:
    refused(
        "build_network: 'deeplabv3' is a family of networks; name its encoder as well, for example "
        "encoder='resnet50'. Known: alexnet, densenet121,",
        "deeplabv3",
    )
    refused("unknown encoder 'resnet51'; did you mean 'resnet50'?", "deeplabv3", encoder="resnet51")
    refused(
        "build_network: encoder 'resnet50' was given for the fixed network 'unet', but encoder is "
        "an option of a family; leave it out.",
        "unet",
        encoder="resnet50",
    )
    refused(
        "build_network: encoder 'resnet50' was given for an architecture, but encoder is an option "
        "of a family; leave it out.",
        Architecture.load("autodeeplab_paper"),
        encoder="resnet50",
    )
    refused(
        "build_network: filter_multiplier 8 was given for the family 'deeplabv3', but "
        "filter_multiplier is an option of an architecture; leave it out.",
        "deeplabv3",
        encoder="resnet18",
        filter_multiplier=8,
    )
    refused("unknown network 'deeplabv3pls'; did you mean 'deeplabv3plus'?", "deeplabv3pls")
    assert set(KINDS) < set(ENCODERS)
