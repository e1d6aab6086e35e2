import re
from itertools import pairwise

import pytest
import torch
from torch import nn

from autoseg.errors import UsageError
from autoseg.networks.encoders.residual_blocks import Bottleneck
from autoseg.networks.encoders.resnet import RESNET50, RESNET101, ResNet, atrous_rates
from autoseg.networks.weightless import weightless

SMALL = {"num_blocks": (1, 2, 2, 3), "width": 0.125}


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
    coarse = strided.maps(images, stages=(1, 2, 3, 4))
    dense = dilated.maps(images, stages=(1, 2, 3, 4))
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
    third, first = network.maps(images, stages=(3, 1))
    assert ran == ["layer1", "layer2", "layer3"]
    assert first.shape == (1, network.stage_channels[0], 17, 25)
    assert third.shape == (1, network.stage_channels[2], 5, 7)
    # A later stage reads an earlier map, and must not have changed it in place.
    (alone,) = network.maps(images, stages=(1,))
    assert torch.equal(first, alone)


@pytest.mark.parametrize("width", [1.0, 0.5, 0.25])
def test_width_scales_every_stage(width: float) -> None:
    with weightless():
        network = ResNet(RESNET101, width=width)
    assert network.stage_channels == tuple(int(width * full) for full in (256, 512, 1024, 2048))
    for stage, full in ((network.layer1, 64), (network.layer4, 512)):
        block = stage[0]
        assert isinstance(block, Bottleneck)
        assert block.conv2.out_channels == int(width * full)
    assert all(wide == 2 * narrow for narrow, wide in pairwise(network.stage_channels))


def test_refuses_another_output_stride() -> None:
    with pytest.raises(UsageError, match=r"output_stride 4; it can be 8, 16 or 32\."):
        ResNet(RESNET50, output_stride=4)


@pytest.mark.parametrize("stage", [4, 5])
def test_refuses_rates_that_do_not_fit(stage: int) -> None:
    message = re.escape(f"ResNet: 2 rates for stage {stage}; stages 1 to 4 have 3, 4, 6, 3 blocks")
    with pytest.raises(UsageError, match=message):
        ResNet(RESNET50, rates={stage: (2, 4)})


def test_the_second_convolution_of_a_basic_block_reads_the_stages_grid() -> None:
    network = ResNet((2, 2, 2, 2), block="basic", output_stride=8, width=0.125)
    rates = [
        [(block.conv1.dilation[0], block.conv2.dilation[0]) for block in stage]
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4)
    ]
    assert rates == [
        [(1, 1), (1, 1)],
        [(1, 1), (1, 1)],
        [(1, 2), (2, 2)],
        [(2, 4), (4, 4)],
    ]


def test_gates_start_where_the_relu_passes_variance_on() -> None:
    torch.manual_seed(0)
    gate = ResNet(RESNET50, block="se_bottleneck").layer4[2].se
    # Kaiming over 128 outputs for the layer before the ReLU; the other starts near a gate of 1/2.
    assert gate.fc1.weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.02)
    assert gate.fc2.weight.std().item() == pytest.approx(0.01, rel=0.02)


def test_refuses_a_stride_where_basic_blocks_have_no_convolution() -> None:
    with pytest.raises(UsageError, match="stride_on '1x1' with basic blocks, which have no 1x1"):
        ResNet((2, 2, 2, 2), block="basic", stride_on="1x1")
