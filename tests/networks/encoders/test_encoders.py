"""What every encoder must satisfy; one joins by a line in `SIZES`, `MACS_G` and `LAYOUTS`."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autoseg.errors import UsageError
from autoseg.networks.encoders import ENCODERS, Encoder
from autoseg.networks.encoders.googlenet import GoogLeNet, GoogLeNetLogits
from autoseg.networks.weightless import weightless
from tests.networks.encoders import layouts
from tests.waits import META, Waits

# Parameters with a thousand classes, from the metadata of torchvision's weights; SE-ResNet and
# Xception from independent implementations.
SIZES = {
    "alexnet": 61_100_840,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840,
    "vgg13_bn": 133_053_736,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
    "googlenet": 6_624_904,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "se_resnet50": 28_088_024,
    "se_resnet101": 49_326_872,
    "densenet121": 7_978_856,
    "densenet161": 28_681_000,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "mobilenet_v2": 3_504_872,
    "xception65": 39_916_312,
}
# Giga-MACs of one image of 224 x 224 pixels, of 299 x 299 for Xception, from the same sources.
MACS_G = {
    "alexnet": "0.714",
    "vgg11": "7.609",
    "vgg16": "15.470",
    "vgg16_bn": "15.470",
    "vgg19": "19.632",
    "googlenet": "1.498",
    "resnet18": "1.814",
    "resnet34": "3.664",
    "resnet50": "4.089",
    "resnet101": "7.801",
    "resnet152": "11.514",
    "se_resnet50": "4.092",  # with the stride on the 3x3; on the first 1x1 it would be 3.860
    "densenet121": "2.834",
    "densenet161": "7.728",
    "densenet169": "3.360",
    "densenet201": "4.291",
    "mobilenet_v2": "0.301",
    "xception65": "13.853",
}
HEADLESS = {
    "resnet50": 23_508_032,
    "resnet101": 42_500_160,
    "vgg16": 14_714_688,
    "vgg16_bn": 14_723_136,
    "mobilenet_v2": 1_811_712,
    "densenet121": 6_953_856,
    "se_resnet50": 26_039_024,
}
LAYOUTS = {
    "alexnet": layouts.alexnet(),
    "vgg11": layouts.vgg((1, 1, 2, 2, 2), batch_norm=False),
    "vgg13": layouts.vgg((2, 2, 2, 2, 2), batch_norm=False),
    "vgg16": layouts.vgg((2, 2, 3, 3, 3), batch_norm=False),
    "vgg19": layouts.vgg((2, 2, 4, 4, 4), batch_norm=False),
    "vgg11_bn": layouts.vgg((1, 1, 2, 2, 2), batch_norm=True),
    "vgg13_bn": layouts.vgg((2, 2, 2, 2, 2), batch_norm=True),
    "vgg16_bn": layouts.vgg((2, 2, 3, 3, 3), batch_norm=True),
    "vgg19_bn": layouts.vgg((2, 2, 4, 4, 4), batch_norm=True),
    "googlenet": layouts.googlenet(has_auxiliary=False),
    "resnet18": layouts.resnet((2, 2, 2, 2), is_basic=True),
    "resnet34": layouts.resnet((3, 4, 6, 3), is_basic=True),
    "resnet50": layouts.resnet((3, 4, 6, 3)),
    "resnet101": layouts.resnet((3, 4, 23, 3)),
    "resnet152": layouts.resnet((3, 8, 36, 3)),
    "se_resnet50": layouts.resnet((3, 4, 6, 3), has_gates=True),
    "se_resnet101": layouts.resnet((3, 4, 23, 3), has_gates=True),
    "densenet121": layouts.densenet((6, 12, 24, 16)),
    "densenet161": layouts.densenet((6, 12, 36, 24), growth=48, stem=96),
    "densenet169": layouts.densenet((6, 12, 32, 32)),
    "densenet201": layouts.densenet((6, 12, 48, 32)),
    "mobilenet_v2": layouts.mobilenet_v2(),
}
# One of each family: the others differ in the number of layers.
FAMILIES = (
    "alexnet",
    "vgg11",
    "vgg13_bn",
    "googlenet",
    "resnet18",
    "resnet50",
    "se_resnet50",
    "densenet121",
    "mobilenet_v2",
    "xception65",
)

every_family = pytest.mark.parametrize("name", FAMILIES)


def build_small(name: str, *, num_classes: int | None = None, output_stride: int = 32) -> Encoder:
    """Build the narrow form in float64 and eval mode, its batch norms not all the same."""
    torch.manual_seed(0)
    encoder = ENCODERS[name](num_classes=num_classes, output_stride=output_stride, width=0.125)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            for values in (module.bias, module.running_mean):
                nn.init.normal_(values, std=0.3)
            for values in (module.weight, module.running_var):
                nn.init.uniform_(values, 0.5, 1.5)
    return encoder.double().eval()


def num_params(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_tables_are_complete() -> None:
    assert set(SIZES) == set(ENCODERS)
    assert set(LAYOUTS) == set(ENCODERS) - {"xception65"}


@pytest.mark.parametrize("name", SIZES)
def test_parameters_are_the_published_ones(name: str) -> None:
    with weightless():
        assert num_params(ENCODERS[name]()) == SIZES[name]
        if name in HEADLESS:
            assert num_params(ENCODERS[name](num_classes=None)) == HEADLESS[name]


@pytest.mark.parametrize("name", LAYOUTS)
def test_state_dict_is_torchvisions(name: str) -> None:
    with weightless():
        state = ENCODERS[name]().state_dict()
    assert [(key, tuple(value.shape)) for key, value in state.items()] == LAYOUTS[name]


@pytest.mark.parametrize("name", MACS_G)
def test_macs_are_the_published_ones(name: str) -> None:
    side = 299 if name == "xception65" else 224
    with weightless():
        classifier = ENCODERS[name]().eval()
        images = torch.empty(1, 3, side, side)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert classifier(images).shape == (1, 1000)
    assert f"{counter.get_total_flops() / 2e9:.3f}" == MACS_G[name]


@every_family
@pytest.mark.parametrize("size", [(97, 134), (111, 75)], ids=["97x134", "111x75"])
@pytest.mark.parametrize("output_stride", [8, 16])
def test_the_dense_encoder_holds_the_strided_one(
    name: str, size: tuple[int, int], output_stride: int
) -> None:
    strided = build_small(name)
    dense = build_small(name, output_stride=output_stride)
    dense.load_state_dict(strided.state_dict())
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        coarse = strided.maps(images, stages=(1, 2, 3, 4))
        fine = dense.maps(images, stages=(1, 2, 3, 4))
    for stage, (coarse_map, fine_map) in enumerate(zip(coarse, fine, strict=True), start=1):
        step = max(1, 2 ** (stage + 1) // output_stride)
        assert coarse_map.shape[1] == fine_map.shape[1] == strided.stage_channels[stage - 1]
        every_step = fine_map[:, :, ::step, ::step]
        assert every_step.shape == coarse_map.shape
        # The gates of squeeze and excitation are means over all positions, here over more of them.
        if not (name.startswith("se_") and step > 1):
            tolerance = 1e-9 * coarse_map.abs().max().item()
            torch.testing.assert_close(every_step, coarse_map, rtol=0, atol=tolerance)


@every_family
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_strides_are_four_to_the_output_stride(name: str, output_stride: int) -> None:
    encoder = build_small(name, output_stride=output_stride).float()
    with torch.no_grad():
        maps = encoder.maps(torch.randn(1, 3, 256, 320), stages=(1, 2, 3, 4))
    for stage, features in enumerate(maps, start=1):
        stride = min(2 ** (stage + 1), output_stride)
        for side, length in zip(features.shape[2:], (256, 320), strict=True):
            # Poolings without padding lose one or two positions of the map that they read.
            assert length // stride - 2 * 32 // stride - 1 <= side <= length // stride


@every_family
def test_maps_come_in_the_order_asked_and_are_not_changed_later(name: str) -> None:
    encoder = build_small(name)
    images = torch.randn(1, 3, 97, 129, dtype=torch.float64)
    with torch.no_grad():
        third, first = encoder.maps(images, stages=(3, 1))
        (alone,) = encoder.maps(images, stages=(1,))
        *_, fourth = encoder.maps(images, stages=(1, 2, 3, 4))
        assert torch.equal(first, alone)
        assert first.shape[2] > third.shape[2] > fourth.shape[2]
        assert torch.equal(encoder(images), fourth)


@every_family
def test_a_headless_encoder_is_the_classifier_without_its_parts(name: str) -> None:
    classifier, encoder = build_small(name, num_classes=7), build_small(name)
    extra = set(classifier.state_dict()) - set(encoder.state_dict())
    prefixes = tuple(f"{part}." for part in encoder.classifier_parts)
    assert extra
    assert all(key.startswith(prefixes) for key in extra)
    assert set(encoder.state_dict()) <= set(classifier.state_dict())
    assert classifier(torch.randn(2, 3, 97, 65, dtype=torch.float64)).shape == (2, 7)


@every_family
def test_every_weight_learns(name: str) -> None:
    classifier = build_small(name, num_classes=7)
    logits = classifier(torch.randn(2, 3, 97, 65, dtype=torch.float64))
    logits.backward(torch.randn_like(logits))
    for key, parameter in classifier.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.any(), key


@every_family
def test_another_output_stride_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"output_stride 4; it can be 8, 16 or 32\."):
        ENCODERS[name](output_stride=4, width=0.125)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "densenet121", "xception65"])
def test_the_classifier_reads_the_mean_of_the_last_map(name: str) -> None:
    classifier = build_small(name, num_classes=7)
    images = torch.randn(2, 3, 97, 129, dtype=torch.float64)
    (last,) = classifier.maps(images, stages=(4,))
    linear = [part for part in classifier.modules() if isinstance(part, nn.Linear)][-1]
    expected = last.flatten(2).sum(dim=2) / last[0, 0].numel() @ linear.weight.T + linear.bias
    torch.testing.assert_close(classifier(images), expected)


def test_googlenet_with_auxiliary_heads() -> None:
    with weightless():
        network = GoogLeNet(has_auxiliary=True)
    assert num_params(network) == 13_004_888
    layout = [(key, tuple(value.shape)) for key, value in network.state_dict().items()]
    assert layout == layouts.googlenet(has_auxiliary=True)

    small = GoogLeNet(num_classes=5, has_auxiliary=True, width=0.125).train()
    result = small(torch.randn(3, 3, 65, 97))
    assert isinstance(result, GoogLeNetLogits)
    assert all(logits.shape == (3, 5) for logits in result)
    for logits, unused in ((result.aux1, "inception4b"), (result.aux2, "inception4e")):
        reached = torch.autograd.grad(
            logits.sum(),
            list(small.get_submodule(unused).parameters()),
            allow_unused=True,
            retain_graph=True,
        )
        assert all(gradient is None for gradient in reached), unused
    assert isinstance(small.eval()(torch.randn(3, 3, 65, 97)), torch.Tensor)


def test_googlenet_renormalises_images() -> None:
    torch.manual_seed(0)
    pixels = torch.rand(2, 3, 65, 97, dtype=torch.float64)
    mean, deviation = (
        torch.tensor(values, dtype=torch.float64)[:, None, None]
        for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    network = GoogLeNet(num_classes=5, width=0.125).double().eval()
    expected = network(2 * pixels - 1)
    network.is_input_halved = True
    torch.testing.assert_close(network((pixels - mean) / deviation), expected)


def test_googlenet_waits_for_nothing_where_it_renormalises() -> None:
    network = GoogLeNet(num_classes=None, is_input_halved=True, width=0.125).to(META)
    with Waits() as waits:
        network(torch.empty(2, 3, 33, 49, device=META))
    assert waits.found == []
