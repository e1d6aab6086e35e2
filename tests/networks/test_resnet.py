import re
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from autoseg.errors import UsageError
from autoseg.networks.resnet import (
    ENCODERS,
    RESNET50,
    RESNET101,
    Bottleneck,
    ResNet,
    atrous_rates,
)

SMALL = {"num_blocks": (1, 2, 2, 3), "width": 0.125}


def torchvision_layout(num_blocks: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
    """List the keys and shapes of torchvision's state dict, in its order."""

    def norm(name: str, channels: int) -> list[tuple[str, tuple[int, ...]]]:
        vectors = ("weight", "bias", "running_mean", "running_var")
        return [*((f"{name}.{key}", (channels,)) for key in vectors), batches(name)]

    def batches(name: str) -> tuple[str, tuple[int, ...]]:
        return (f"{name}.num_batches_tracked", ())

    layout = [("conv1.weight", (64, 3, 7, 7)), *norm("bn1", 64)]
    channels = 64
    for stage, count in enumerate(num_blocks, start=1):
        inner = 32 * 2**stage
        for block in range(count):
            at = f"layer{stage}.{block}"
            layout += [(f"{at}.conv1.weight", (inner, channels, 1, 1)), *norm(f"{at}.bn1", inner)]
            layout += [(f"{at}.conv2.weight", (inner, inner, 3, 3)), *norm(f"{at}.bn2", inner)]
            layout += [(f"{at}.conv3.weight", (4 * inner, inner, 1, 1))]
            layout += norm(f"{at}.bn3", 4 * inner)
            if block == 0:
                layout += [(f"{at}.downsample.0.weight", (4 * inner, channels, 1, 1))]
                layout += norm(f"{at}.downsample.1", 4 * inner)
            channels = 4 * inner
    return [*layout, ("fc.weight", (1000, 2048)), ("fc.bias", (1000,))]


# Parameters and giga-MACs at 224 x 224 from the metadata of torchvision's published weights.
@pytest.mark.parametrize(
    ("name", "num_blocks", "num_params", "macs_g"),
    [
        ("resnet50", (3, 4, 6, 3), 25_557_032, "4.089"),
        ("resnet101", (3, 4, 23, 3), 44_549_160, "7.801"),
    ],
)
def test_classifiers_are_torchvisions(
    name: str, num_blocks: tuple[int, ...], num_params: int, macs_g: str
) -> None:
    with torch.device("meta"):
        classifier = ENCODERS[name]().eval()
        images = torch.empty(1, 3, 224, 224)
    layout = [(key, tuple(value.shape)) for key, value in classifier.state_dict().items()]
    assert layout == torchvision_layout(num_blocks)
    assert sum(parameter.numel() for parameter in classifier.parameters()) == num_params
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert classifier(images).shape == (1, 1000)
    assert f"{counter.get_total_flops() / 2e9:.3f}" == macs_g


def test_classifier_reads_the_mean_of_the_last_map() -> None:
    torch.manual_seed(0)
    classifier = ENCODERS["resnet50"](7, width=0.125).double().eval()
    images = torch.randn(2, 3, 65, 97, dtype=torch.float64)
    (features,) = classifier.features(images, stages=(4,))
    weight, bias = classifier.fc.weight, classifier.fc.bias
    expected = features.flatten(2).sum(dim=2) / (3 * 4) @ weight.T + bias
    torch.testing.assert_close(classifier(images), expected)
    # 7 * 256 weights with the deviation of all classifiers; the estimate's own is 1.7 %.
    assert 0.009 < weight.std().item() < 0.011
    assert not bias.any()


def randomise_(network: nn.Module) -> None:
    """Give every weight and statistic a random value, so that borders and shortcuts matter."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            for values in (module.bias, module.running_mean):
                nn.init.normal_(values)
            for values in (module.weight, module.running_var):
                nn.init.uniform_(values, 0.5, 1.5)


@pytest.mark.parametrize("stride_on", ["3x3", "1x1"])
@pytest.mark.parametrize("stem", ["7x7", "3x3"])
@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilated_network_holds_the_strided_one(stride_on, stem, output_stride: int) -> None:
    torch.manual_seed(0)
    options = {"stem": stem, "stride_on": stride_on, **SMALL}
    strided = ResNet(**options).double().eval()
    dilated = ResNet(**options, output_stride=output_stride).double().eval()
    randomise_(strided)
    dilated.load_state_dict(strided.state_dict())
    images = torch.randn(2, 3, 75, 131, dtype=torch.float64)
    coarse = strided.features(images, stages=(1, 2, 3, 4))
    dense = dilated.features(images, stages=(1, 2, 3, 4))
    for stage, (coarse_map, dense_map) in enumerate(zip(coarse, dense, strict=True), start=1):
        stride = 2 ** (stage + 1)
        step = max(1, stride // output_stride)
        assert dense_map.shape[2:] == (-(-75 * step // stride), -(-131 * step // stride))
        # The same sums in another order of addition.
        torch.testing.assert_close(dense_map[:, :, ::step, ::step], coarse_map, rtol=1e-9, atol=0)


# Worked by hand for three blocks a stage.
@pytest.mark.parametrize(
    ("output_stride", "stride_on", "expected"),
    [
        (32, "3x3", [(1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1)]),
        (32, "1x1", [(1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1)]),
        (16, "3x3", [(1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 2, 2)]),
        (16, "1x1", [(1, 1, 1), (1, 1, 1), (1, 1, 1), (2, 2, 2)]),
        (8, "3x3", [(1, 1, 1), (1, 1, 1), (1, 2, 2), (2, 4, 4)]),
        (8, "1x1", [(1, 1, 1), (1, 1, 1), (2, 2, 2), (4, 4, 4)]),
    ],
)
def test_rates_by_output_stride(output_stride: int, stride_on, expected) -> None:
    rates = atrous_rates((3, 3, 3, 3), output_stride=output_stride, stride_on=stride_on)
    assert rates == expected
    network = ResNet((3, 3, 3, 3), output_stride=output_stride, stride_on=stride_on, width=0.125)
    assert built_rates(network) == expected


def built_rates(network: ResNet) -> list[tuple[int, ...]]:
    """Read the rate of each 3x3 convolution from the built modules."""
    rates = []
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        blocks = [block for block in stage if isinstance(block, Bottleneck)]
        for block in blocks:
            # Without padding by the rate the map would shrink.
            assert block.conv2.padding == block.conv2.dilation
        rates.append(tuple(block.conv2.dilation[0] for block in blocks))
    return rates


def test_given_rates_replace_those_of_their_stage() -> None:
    network = ResNet((1, 2, 2, 3), output_stride=16, rates={4: (2, 4, 8)}, width=0.125)
    assert built_rates(network) == [(1,), (1, 1), (1, 1), (2, 4, 8)]


@pytest.mark.parametrize(
    ("stride_on", "stride_1x1", "stride_3x3"), [("3x3", (1, 1), (2, 2)), ("1x1", (2, 2), (1, 1))]
)
def test_the_stride_sits_on_the_named_convolution(stride_on, stride_1x1, stride_3x3) -> None:
    network = ResNet(stride_on=stride_on, **SMALL)
    for stage in (network.layer2, network.layer3, network.layer4):
        first, second = (block for block in list(stage)[:2] if isinstance(block, Bottleneck))
        assert first.conv1.stride == stride_1x1
        assert first.conv2.stride == stride_3x3
        assert first.downsample is not None
        assert next(first.downsample.children()).stride == (2, 2)
        assert second.conv1.stride == second.conv2.stride == (1, 1)
        assert second.downsample is None


def test_stem_of_three_convolutions() -> None:
    network = ResNet(RESNET50, stem="3x3", width=0.5)
    convolutions = [part for part in network.conv1.modules() if isinstance(part, nn.Conv2d)]
    assert [part.weight.shape for part in convolutions] == [
        (32, 3, 3, 3),
        (32, 32, 3, 3),
        (64, 32, 3, 3),
    ]
    assert [part.stride[0] for part in convolutions] == [2, 1, 1]
    # Each convolution is followed by batch norm and ReLU; the last pair is `bn1` and `relu`.
    kinds = [type(part) for part in network.conv1.children()]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 2 + [nn.Conv2d]
    assert network.bn1.num_features == 64
    first = network.layer1[0]
    assert isinstance(first, Bottleneck)
    assert first.conv1.in_channels == 64


@pytest.mark.parametrize("stem", ["7x7", "3x3"])
def test_stem_ends_in_norm_relu_and_pooling(stem) -> None:
    torch.manual_seed(0)
    network = ResNet(stem=stem, **SMALL).double().eval()
    randomise_(network)
    images = torch.randn(2, 3, 33, 42, dtype=torch.float64)
    rectified = network.bn1(network.conv1(images)).clamp(min=0)
    # 3x3 windows around every second pixel; below zero after ReLU stands for outside.
    padded = nn.functional.pad(rectified, (1, 1, 1, 1), value=-1)
    windows = padded.unfold(2, 3, 2).unfold(3, 3, 2)
    torch.testing.assert_close(network.stem(images), windows.amax(dim=(4, 5)))


def test_features_come_in_the_order_asked_and_no_later_stage_runs() -> None:
    network = ResNet(**SMALL).eval()
    ran: list[str] = []
    for name in ("layer1", "layer2", "layer3", "layer4"):
        network.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, _output, name=name: ran.append(name)
        )
    images = torch.randn(1, 3, 65, 97)
    third, first = network.features(images, stages=(3, 1))
    assert ran == ["layer1", "layer2", "layer3"]
    assert first.shape == (1, network.stage_channels[0], 17, 25)
    assert third.shape == (1, network.stage_channels[2], 5, 7)
    # A later stage reads an earlier map, and must not have changed it in place.
    (alone,) = network.features(images, stages=(1,))
    assert torch.equal(first, alone)


@pytest.mark.parametrize("width", [1.0, 0.5, 0.25])
def test_width_scales_every_stage(width: float) -> None:
    with torch.device("meta"):
        network = ResNet(RESNET101, width=width)
    assert network.stage_channels == tuple(int(width * full) for full in (256, 512, 1024, 2048))
    for stage, full in ((network.layer1, 64), (network.layer4, 512)):
        block = stage[0]
        assert isinstance(block, Bottleneck)
        assert block.conv2.out_channels == int(width * full)
    assert all(wide == 2 * narrow for narrow, wide in pairwise(network.stage_channels))


def naive_bottleneck(block: Bottleneck, features: Tensor) -> Tensor:
    """Compute a block with stride 1 from figure 5 of the paper, batch norm written out."""

    def norm(values: Tensor, layer: nn.BatchNorm2d) -> Tensor:
        assert layer.running_mean is not None
        assert layer.running_var is not None
        scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)
        shift = layer.bias - layer.running_mean * scale
        return values * scale[:, None, None] + shift[:, None, None]

    def pointwise(values: Tensor, layer: nn.Conv2d) -> Tensor:
        return torch.einsum("oi,nihw->nohw", layer.weight[:, :, 0, 0], values)

    rate = block.conv2.dilation[0]
    inner = norm(pointwise(features, block.conv1), block.bn1).clamp(min=0)
    height, width = inner.shape[2:]
    padded = nn.functional.pad(inner, (rate, rate, rate, rate))
    around = torch.zeros_like(inner)
    for row in range(3):
        for column in range(3):
            window = padded[:, :, row * rate :, column * rate :][:, :, :height, :width]
            weight = block.conv2.weight[:, :, row, column]
            around = around + torch.einsum("oi,nihw->nohw", weight, window)
    outer = norm(pointwise(norm(around, block.bn2).clamp(min=0), block.conv3), block.bn3)
    return (outer + features).clamp(min=0)


@pytest.mark.parametrize("rate", [1, 3])
def test_block_is_the_papers(rate: int) -> None:
    torch.manual_seed(0)
    block = Bottleneck(20, 5, dilation=rate).double().eval()
    randomise_(block)
    features = torch.randn(2, 20, 6, 7, dtype=torch.float64)
    torch.testing.assert_close(block(features), naive_bottleneck(block, features))


def test_refuses_another_output_stride() -> None:
    with pytest.raises(UsageError, match=r"output_stride 4; it can be 8, 16 or 32\."):
        ResNet(RESNET50, output_stride=4)


@pytest.mark.parametrize("stage", [4, 5])
def test_refuses_rates_that_do_not_fit(stage: int) -> None:
    message = re.escape(f"ResNet: 2 rates for stage {stage}; stages 1 to 4 have 3, 4, 6, 3 blocks")
    with pytest.raises(UsageError, match=message):
        ResNet(RESNET50, rates={stage: (2, 4)})
