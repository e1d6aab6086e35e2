import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from autoseg.networks.deeplabv3plus import (
    DeepLabV3Plus,
    deeplabv3plus_mobilenet_v2,
    deeplabv3plus_resnet50,
    deeplabv3plus_resnet101,
    deeplabv3plus_xception65,
)
from autoseg.networks.encoders.resnet import RESNET101, ResNet
from autoseg.networks.weightless import weightless


def macs(network: nn.Module, height: int, width: int) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.empty(1, 3, height, width, device="meta"))
    return counter.get_total_flops() // 2


def convolution(network: nn.Module, name: str) -> nn.Conv2d:
    found = network.get_submodule(name)
    assert isinstance(found, nn.Conv2d)
    return found


def record_outputs(network: nn.Module, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Keep the latest output of each named part."""
    seen: dict[str, Tensor] = {}

    def keep_output(name: str) -> None:
        def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen[name] = output

        network.get_submodule(name).register_forward_hook(hook)

    for name in names:
        keep_output(name)
    return seen


def test_rates_are_multi_grid_over_the_stage_and_the_papers_pyramid() -> None:
    network = deeplabv3plus_resnet101(5, width=0.125)

    def rates(names: str, count: int) -> list[int]:
        return [convolution(network, names.format(i)).dilation[0] for i in range(count)]

    assert rates("encoder.layer3.{}.conv2", 23) == [1] * 23
    assert rates("encoder.layer4.{}.conv2", 3) == [2, 4, 8]
    assert rates("aspp.atrous.{}.0", 3) == [6, 12, 18]
    assert convolution(network, "encoder.layer3.0.conv2").stride == (2, 2)
    assert convolution(network, "encoder.layer4.0.conv2").stride == (1, 1)


def test_resolutions_of_the_parts() -> None:
    network = deeplabv3plus_resnet50(5, width=0.125).eval()
    seen = record_outputs(network, ("aspp", "low_level", "decoder", "classifier"))
    network(torch.randn(1, 3, 97, 65))
    # 97 -> 25 at stride 4 -> 7 at stride 16; 65 -> 17 -> 5. At width 1/8: 256 -> 32, 48 -> 8.
    assert {name: tuple(output.shape) for name, output in seen.items()} == {
        "aspp": (1, 32, 7, 5),
        "low_level": (1, 8, 25, 17),
        "decoder": (1, 32, 25, 17),
        "classifier": (1, 5, 25, 17),
    }


def test_macs_depend_on_depth_by_the_added_blocks_alone() -> None:
    with weightless():
        deep, shallow = deeplabv3plus_resnet101(21), deeplabv3plus_resnet50(21)
    block = 1024 * 256 + 9 * 256 * 256 + 256 * 1024
    assert macs(deep, 513, 513) - macs(shallow, 513, 513) == 17 * block * 33 * 33


def test_macs_with_the_stride_on_the_first_1x1() -> None:
    with weightless():
        encoder = ResNet(RESNET101, output_stride=16, stride_on="1x1", rates={4: (2, 4, 8)})
        network = DeepLabV3Plus(encoder, num_classes=21)
    # The published count of an independent implementation of this variant.
    assert f"{macs(network, 513, 513) / 1e9:.3f}" == "92.002"


def test_the_logits_are_enlarged_with_aligned_corners() -> None:
    torch.manual_seed(0)
    network = deeplabv3plus_resnet50(5, width=0.125).double().eval()
    seen = record_outputs(network, ("classifier",))
    # 33 = 4 * 8 + 1: each pixel of the coarse logits is every fourth pixel of the fine ones.
    logits = network(torch.randn(1, 3, 33, 33, dtype=torch.float64))
    coarse = seen["classifier"]
    torch.testing.assert_close(logits[:, :, ::4, ::4], coarse)
    between = (coarse[:, :, :-1] + coarse[:, :, 1:]) / 2
    torch.testing.assert_close(logits[:, :, 2::4, ::4], between)


def test_decoder_reads_the_enlarged_context_then_the_low_level_map() -> None:
    torch.manual_seed(0)
    network = deeplabv3plus_resnet50(5, width=0.125).double().eval()
    seen = record_outputs(network, ("aspp", "low_level", "decoder"))
    network(torch.randn(1, 3, 65, 97, dtype=torch.float64))
    context, low_level, refined = seen["aspp"], seen["low_level"], seen["decoder"]
    assert context.shape[2:] == (5, 7)
    # 17 = 4 * 4 + 1 and 25 = 4 * 6 + 1: row i of the enlarged map lies at i / 4 of the small one.
    rows, columns = (
        (1 - (torch.arange(4 * n - 3)[:, None] / 4 - torch.arange(n)).abs()).clamp(min=0).double()
        for n in (5, 7)
    )
    enlarged = rows @ context @ columns.T
    joined = torch.cat([enlarged, low_level], dim=1)
    torch.testing.assert_close(network.decoder(joined), refined)


def test_a_single_image_trains_with_the_running_statistics_of_image_pooling() -> None:
    network = deeplabv3plus_resnet50(5, width=0.125).train()
    norm = network.aspp.pooling.project[1]
    norm.running_mean.normal_()
    before = norm.running_mean.clone()
    network(torch.randn(1, 3, 33, 41)).square().mean().backward()
    assert torch.equal(norm.running_mean, before)  # one value has no statistics to add
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize(
    ("output_stride", "third", "fourth", "pyramid"),
    [(16, [1] * 6, [2, 4, 8], [6, 12, 18]), (8, [1, *[2] * 5], [4, 8, 16], [12, 24, 36])],
)
def test_rates_at_each_output_stride(
    output_stride: int, third: list[int], fourth: list[int], pyramid: list[int]
) -> None:
    network = deeplabv3plus_resnet50(5, output_stride=output_stride, width=0.125)
    rates = {
        name: [convolution(network, name.format(i)).dilation[0] for i in range(count)]
        for name, count in (
            ("encoder.layer3.{}.conv2", 6),
            ("encoder.layer4.{}.conv2", 3),
            ("aspp.atrous.{}.0", 3),
        )
    }
    assert list(rates.values()) == [third, fourth, pyramid]


@pytest.mark.parametrize("build", [deeplabv3plus_mobilenet_v2, deeplabv3plus_xception65])
@pytest.mark.parametrize("output_stride", [8, 16])
def test_resolutions_over_the_other_encoders(build, output_stride: int) -> None:
    network = build(5, output_stride=output_stride, width=0.125).eval()
    seen = record_outputs(network, ("aspp", "low_level", "decoder"))
    network(torch.randn(1, 3, 97, 65))
    coarse = {16: (7, 5), 8: (13, 9)}[output_stride]
    assert tuple(seen["aspp"].shape) == (1, 32, *coarse)
    assert tuple(seen["low_level"].shape) == (1, 8, 25, 17)
    assert tuple(seen["decoder"].shape) == (1, 32, 25, 17)


def test_xception_reads_the_second_convolution_of_the_second_block() -> None:
    torch.manual_seed(0)
    network = deeplabv3plus_xception65(5, width=0.125).double().eval()
    seen = record_outputs(network, ("encoder.blocks.1.stack.conv2", "low_level"))
    network(torch.randn(1, 3, 65, 97, dtype=torch.float64))
    expected = network.low_level(seen["encoder.blocks.1.stack.conv2"])
    torch.testing.assert_close(seen["low_level"], expected)


def test_all_of_xceptions_3x3_convolutions_are_depthwise_but_the_stems() -> None:
    with weightless():
        network = deeplabv3plus_xception65(21)
    full = [
        name
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) and layer.groups == 1
    ]
    assert full == ["encoder.stem.0.conv", "encoder.stem.1.conv"]
    # Two in the stem, two for each of the separable ones, and the shortcuts' projections.
    layers = [layer for layer in network.encoder.modules() if isinstance(layer, nn.Conv2d)]
    assert len(layers) == 2 + 2 * 3 * 21 + 4
