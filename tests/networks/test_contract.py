"""What every network must satisfy; a network joins by adding one line to `CASES`."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from autoseg.architecture import Architecture
from autoseg.networks import TrainingLogits, build_network, inference_parameters

NUM_CLASSES = 5
# Height, width: odd, even, smaller than the output stride, and one pixel.
SIZES = [(33, 41), (64, 40), (7, 70), (1, 1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One network and what is published of it."""

    name: str
    small: Callable[[int], nn.Module]
    """Builds a narrow form for a number of classes."""
    full: Callable[[int], nn.Module]
    """Builds the paper's form for a number of classes."""
    num_params: Callable[[int], int]
    """Parameters of the full form in eval mode, as a closed form in the number of classes."""
    published_params: tuple[int, int]
    """Number of classes, and the parameters at it."""
    published_macs_g: tuple[int, tuple[int, int], str] | None = None
    """Number of classes, input size, and giga-MACs to the digits of the source."""
    num_auxiliary: int = 0
    """Auxiliary outputs in training."""


def fixed(name: str, **published) -> Case:
    """Describe a fixed reference network, built by its name."""
    return Case(
        name=name,
        small=lambda num_classes: build_network(name, num_classes=num_classes, width=0.125),
        full=lambda num_classes: build_network(name, num_classes=num_classes),
        **published,
    )


def searched(filter_multiplier: int, **published) -> Case:
    """Describe the network of the paper's architecture."""
    architecture = Architecture.load("autodeeplab_paper")
    return Case(
        name=f"auto_deeplab_{filter_multiplier}",
        small=lambda num_classes: build_network(
            architecture, num_classes=num_classes, width=0.125, filter_multiplier=4
        ),
        full=lambda num_classes: build_network(
            architecture, num_classes=num_classes, filter_multiplier=filter_multiplier
        ),
        **published,
    )


def conv_bn(kernel: int, channels: int, out_channels: int) -> int:
    """Count a convolution without bias and its batch norm."""
    return kernel**2 * channels * out_channels + 2 * out_channels


def resnet(num_blocks: tuple[int, ...], *, stem: str, base: int = 64) -> int:
    """Count a ResNet without its classifier, layer by layer from the papers' tables."""
    if stem == "7x7":
        total, channels = conv_bn(7, 3, base), base
    else:
        total = conv_bn(3, 3, base) + conv_bn(3, base, base) + conv_bn(3, base, 2 * base)
        channels = 2 * base
    for stage, count in enumerate(num_blocks):
        inner = base * 2**stage
        total += conv_bn(1, channels, 4 * inner)  # the projection of the first block
        for _ in range(count):
            total += conv_bn(1, channels, inner) + conv_bn(3, inner, inner)
            total += conv_bn(1, inner, 4 * inner)
            channels = 4 * inner
    return total


def deeplabv3plus(num_blocks: tuple[int, ...], num_classes: int) -> int:
    aspp = 2 * conv_bn(1, 2048, 256) + 3 * conv_bn(3, 2048, 256) + conv_bn(1, 1280, 256)
    decoder = conv_bn(1, 256, 48) + conv_bn(3, 304, 256) + conv_bn(3, 256, 256)
    return resnet(num_blocks, stem="7x7") + aspp + decoder + 257 * num_classes


def icnet(base: int, num_classes: int) -> int:
    coarse = 8 * base
    fusion = conv_bn(3, coarse, 128) + conv_bn(1, coarse, 128)
    fusion += conv_bn(3, 128, 128) + conv_bn(1, 64, 128)
    detail = conv_bn(3, 3, 32) + conv_bn(3, 32, 32) + conv_bn(3, 32, 64)
    trunk = resnet((3, 4, 6, 3), stem="3x3", base=base) + conv_bn(1, 32 * base, coarse)
    return trunk + fusion + detail + 129 * num_classes


# Parameters and MACs are those of the networks' own releases or of independent implementations.
CASES = [
    fixed(
        "deeplabv3plus_resnet101",
        num_params=lambda num_classes: deeplabv3plus((3, 4, 23, 3), num_classes),
        published_params=(21, 59_344_309),
        published_macs_g=(21, (513, 513), "92.820"),
    ),
    fixed(
        "deeplabv3plus_resnet50",
        num_params=lambda num_classes: deeplabv3plus((3, 4, 6, 3), num_classes),
        published_params=(21, 40_352_181),
    ),
    fixed(
        "duc_hdc_resnet101",
        num_params=lambda num_classes: (
            resnet((3, 4, 23, 3), stem="3x3") + 4 * 16 * num_classes * (9 * 2048 + 1)
        ),
        published_params=(19, 65_038_464),
    ),
    fixed(
        "icnet_resnet50",
        num_params=lambda num_classes: icnet(64, num_classes),
        published_params=(19, 25_524_659),
        published_macs_g=(19, (1025, 2049), "90.240"),
        num_auxiliary=2,
    ),
    fixed(
        "icnet_pruned",
        num_params=lambda num_classes: icnet(32, num_classes),
        published_params=(19, 6_699_987),
        published_macs_g=(19, (1025, 2049), "29.812"),
        num_auxiliary=2,
    ),
    searched(
        20,
        # All but the classifier's 256 weights and bias a class.
        num_params=lambda num_classes: 10_142_544 + 257 * num_classes,
        published_params=(19, 10_147_427),
        published_macs_g=(19, (1024, 2048), "317.542"),
    ),
]

every_network = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def build_small(case: Case, *, seed: int = 0) -> nn.Module:
    """Build the narrow form in float64, with statistics and biases that are not all 0 or 1."""
    torch.manual_seed(seed)
    network = case.small(NUM_CLASSES).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


def random_images(num_images: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(num_images, 3, height, width, generator=generator, dtype=torch.float64)


def all_logits(result: Tensor | TrainingLogits) -> list[Tensor]:
    if isinstance(result, TrainingLogits):
        return [result.logits, *result.auxiliary]
    return [result]


@every_network
def test_parameters_are_the_published_ones(case: Case) -> None:
    published_classes, published = case.published_params
    assert case.num_params(published_classes) == published
    for num_classes in (1, 11, 19, 21):
        with torch.device("meta"):
            network = case.full(num_classes)
        counted = sum(parameter.numel() for parameter in inference_parameters(network))
        assert counted == case.num_params(num_classes)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.published_macs_g], ids=lambda case: case.name
)
def test_macs_are_the_published_ones(case: Case) -> None:
    assert case.published_macs_g is not None
    num_classes, size, published = case.published_macs_g
    with torch.device("meta"):
        network = case.full(num_classes).eval()
        images = torch.empty(1, 3, *size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images)
    # FlopCounterMode prices convolutions and linear layers alone, at 2 FLOPs a MAC.
    assert f"{counter.get_total_flops() / 2e9:.3f}" == published


@every_network
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_any_size_and_each_image_by_itself(case: Case, size: tuple[int, int]) -> None:
    network = build_small(case).eval()
    images = random_images(2, *size)
    with torch.no_grad():
        logits = network(images)
        alone = torch.cat([network(image[None]) for image in images])
    assert logits.shape == (2, NUM_CLASSES, *size)
    # float64; another batch size may add in another order.
    torch.testing.assert_close(logits, alone, rtol=1e-9, atol=1e-9)
    assert not torch.equal(logits[0], logits[1])


@every_network
def test_eval_repeats_itself_and_changes_nothing(case: Case) -> None:
    network = build_small(case).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = random_images(1, 33, 41)
    with torch.no_grad():
        assert torch.equal(network(images), network(images))
    after = network.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


@every_network
def test_float32_agrees_with_float64(case: Case) -> None:
    network = build_small(case).eval()
    images = random_images(2, 33, 41)
    with torch.no_grad():
        exact = network(images)
        rounded = network.float()(images.float())
    assert rounded.dtype == torch.float32
    # About a hundred layers, each with a relative rounding error of 1e-7 of its largest value.
    tolerance = 1e-4 * exact.abs().max().item()
    torch.testing.assert_close(rounded.double(), exact, rtol=0, atol=tolerance)


@every_network
def test_weights_start_as_documented(case: Case) -> None:
    torch.manual_seed(0)
    for name, module in case.small(NUM_CLASSES).named_modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * math.prod(module.kernel_size)
            variance = 2 / fan_out if module.bias is None else 0.01**2
            # The sum of n squares over their variance has mean n and variance 2n: a chi-square.
            squares, count = module.weight.square().sum().item(), module.weight.numel()
            deviation = (squares / variance - count) / math.sqrt(2 * count)
            assert abs(deviation) < 6, name
            assert module.bias is None or not module.bias.any(), name
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all(), name
            assert not module.bias.any(), name


@every_network
def test_every_parameter_learns(case: Case) -> None:
    network = build_small(case).train()
    result = network(random_images(2, 65, 73))
    cotangents = torch.Generator().manual_seed(2)
    outputs = all_logits(result)
    torch.autograd.backward(
        outputs,
        [torch.randn(logits.shape, generator=cotangents).to(logits) for logits in outputs],
    )
    for name, parameter in network.named_parameters():
        assert parameter.requires_grad, name
        assert parameter.grad is not None, f"{name} has no part in the output"
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), f"{name} has no effect on the output"


@every_network
def test_inference_parameters_are_those_that_eval_uses(case: Case) -> None:
    network = build_small(case).eval()
    network(random_images(1, 33, 41)).square().sum().backward()
    counted = {id(parameter) for parameter in inference_parameters(network)}
    used = {id(parameter) for parameter in network.parameters() if parameter.grad is not None}
    assert used == counted


@every_network
def test_training_outputs_are_typed(case: Case) -> None:
    network = build_small(case).train()
    result = network(random_images(2, 65, 73))
    logits = result.logits if isinstance(result, TrainingLogits) else result
    assert logits.shape == (2, NUM_CLASSES, 65, 73)
    assert isinstance(result, TrainingLogits) == (case.num_auxiliary > 0)
    if isinstance(result, TrainingLogits):
        assert len(result.auxiliary) == len(result.weights) == case.num_auxiliary
        heights = [auxiliary.shape[2] for auxiliary in result.auxiliary]
        assert heights == sorted(heights), "coarsest first"
        assert heights[-1] < 65
        assert all(auxiliary.shape[:2] == (2, NUM_CLASSES) for auxiliary in result.auxiliary)
        assert all(weight > 0 for weight in result.weights)


@every_network
def test_state_dict_carries_the_whole_network(case: Case) -> None:
    network, other = build_small(case).eval(), build_small(case, seed=3).eval()
    images = random_images(1, 33, 41)
    with torch.no_grad():
        assert not torch.allclose(network(images), other(images))
        other.load_state_dict(network.state_dict(), strict=True)
        assert torch.equal(network(images), other(images))
