"""What every network must satisfy; a network joins by adding one entry to `zoo.CASES`."""

import copy
import functools
import math

import pytest
import torch
from torch import Tensor, nn

from autoseg.contract import FollowsProgress, RefinesLogits
from autoseg.networks import ENCODERS, NETWORKS, TrainingLogits
from tests.batch_norm_watch import BatchNormWatch
from tests.networks.zoo import CASES, Case

NUM_CLASSES = 5
# Height, width: odd, even, smaller than the output stride, and one pixel.
SIZES = [(33, 41), (64, 40), (7, 70), (1, 1)]

every_network = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def parts_of(case: Case) -> set[str]:
    """Name the kind of network of a case and that of its encoder, without building either."""
    if case.name not in NETWORKS:
        return {case.small.__qualname__}  # what `zoo` builds it by: around a network, or searched
    builders = [build for name, build in ENCODERS.items() if name in case.name]
    encoders = {getattr(build, "func", build).__module__ for build in builders}
    return {NETWORKS[case.name].__module__, *encoders}


def one_of_each_kind() -> set[str]:
    """Choose the first case of every kind of network and of every kind of encoder in `CASES`."""
    seen, chosen = set(), set()
    for case in CASES:
        if not parts_of(case) <= seen:
            chosen.add(case.name)
        seen |= parts_of(case)
    return chosen


CHOSEN = one_of_each_kind()
one_of_each_kind_and_nightly_the_rest = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=() if case.name in CHOSEN else pytest.mark.nightly)
        for case in CASES
    ],
    ids=lambda case: case.name,
)


# Torch traces hundreds of layers for 3 to 20 s in most of them. Their kinds of layers are traced
# in others' graphs, and each of them is traced as a whole by its export.
TRACED_IN_OTHERS = {
    "auto_deeplab_20",
    "deconvnet_vgg16",
    "deeplabv3_mobilenet_v2",
    "deeplabv3_resnet50",
    "deeplabv3plus_xception65",
    "duc_hdc_resnet101",
    "fc_densenet67",
    "fcn_resnet50",
    "icnet_resnet50",
    "pspnet_resnet50",
}


def build_small(case: Case, *, seed: int = 0) -> nn.Module:
    """Build the narrow form in float64, with statistics and biases that are not all 0 or 1."""
    return copy.deepcopy(_built_once(CASES.index(case))) if seed == 0 else _with_values(case, seed)


@functools.cache
def _built_once(number: int) -> nn.Module:
    return _with_values(CASES[number], 0)


def _with_values(case: Case, seed: int) -> nn.Module:
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


def kept_small(case: Case) -> nn.Module:
    """Return the narrow form itself, in eval mode, to tests that change nothing in it."""
    return _built_once(CASES.index(case)).eval()


def without_repetition_(network: nn.Module) -> nn.Module:
    """Leave of equal parts of a chain, as a stage's residual blocks, the first alone.

    Equal parts have the same layers, channels, strides and rates: a tracer meets nothing new in
    the second, and takes as long for it as for the first.
    """
    for chain in [part for part in network.modules() if type(part) is nn.Sequential]:
        seen: set[str] = set()
        for name, part in list(chain.named_children()):
            is_block = next(part.children(), None) is not None
            if is_block and repr(part) in seen:
                setattr(chain, name, nn.Identity())
            seen.add(repr(part))
    return network


def random_images(num_images: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(num_images, 3, height, width, generator=generator, dtype=torch.float64)


def all_logits(result: Tensor | TrainingLogits) -> list[Tensor]:
    if isinstance(result, TrainingLogits):
        return [result.logits, *result.auxiliary]
    return [result]


def test_every_network_is_held_to_it() -> None:
    assert set(NETWORKS) <= {case.name for case in CASES}


@one_of_each_kind_and_nightly_the_rest
@pytest.mark.parametrize(
    "size",
    # Odd in both, and smaller than any stride; the others are between.
    [pytest.param(size, marks=() if size in SIZES[::3] else pytest.mark.nightly) for size in SIZES],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
def test_any_size_and_each_image_by_itself(case: Case, size: tuple[int, int]) -> None:
    network = kept_small(case)
    images = random_images(2, *size)
    with torch.no_grad():
        logits = network(images)
        alone = torch.cat([network(image[None]) for image in images])
    assert logits.shape == (2, NUM_CLASSES, *size)
    # float64; another batch size may add in another order.
    torch.testing.assert_close(logits, alone, rtol=1e-9, atol=1e-9)
    if min(size) > 32 or not case.has_blind_positions:
        assert not torch.equal(logits[0], logits[1])


@one_of_each_kind_and_nightly_the_rest
def test_eval_repeats_itself_and_changes_nothing(case: Case) -> None:
    network = kept_small(case)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = random_images(1, 33, 41)
    with torch.no_grad():
        assert torch.equal(network(images), network(images))
    after = network.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


@one_of_each_kind_and_nightly_the_rest
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


@one_of_each_kind_and_nightly_the_rest
def test_bfloat16_runs(case: Case) -> None:
    network = build_small(case).eval()
    images = random_images(2, 33, 41)
    with torch.no_grad():
        exact = network(images)
        rounded = network.bfloat16()(images.bfloat16())
    assert rounded.dtype == torch.bfloat16
    error = (rounded.double() - exact).norm() / exact.norm()
    assert error < case.largest_relative_error


@one_of_each_kind_and_nightly_the_rest
def test_channels_last_gives_the_same(case: Case) -> None:
    network = build_small(case).eval()
    images = random_images(2, 33, 41)
    with torch.no_grad():
        contiguous = network(images)
        network.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
        # float64; another order of addition.
        tolerance = 1e-9 * contiguous.abs().max().item()
        torch.testing.assert_close(network(images), contiguous, rtol=0, atol=tolerance)


@pytest.mark.slow
@one_of_each_kind_and_nightly_the_rest
def test_export_gives_the_same(case: Case) -> None:
    network = without_repetition_(build_small(case)).eval()
    images = random_images(2, 33, 41)
    with torch.no_grad():
        exported = torch.export.export(network, (images,)).module()
        torch.testing.assert_close(exported(images), network(images), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            marks=() if case.name in CHOSEN - TRACED_IN_OTHERS else pytest.mark.nightly,
        )
        for case in CASES
    ],
    ids=lambda case: case.name,
)
def test_compiles_as_one_graph(case: Case) -> None:
    network = without_repetition_(build_small(case)).eval()
    images = random_images(2, 33, 41)
    # What the graph becomes in operators is the export's test.
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(images), network(images), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.nightly
@every_network
def test_training_compiles_as_one_graph(case: Case) -> None:
    network = build_small(case).train()
    # As a retraining does; a CRF behind the network is not compiled.
    part = network.network if isinstance(network, RefinesLogits) else network
    if isinstance(part, FollowsProgress):
        part.set_training_progress(torch.tensor(0.5))
    images = random_images(2, 65, 41)
    compiled = torch.compile(part, backend="eager", fullgraph=True, dynamic=False)
    results = []
    for run in (compiled, part):
        torch.manual_seed(0)
        results.append(all_logits(run(images)))
    for logits, expected in zip(*results, strict=True):
        torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)


@every_network
def test_weights_start_as_documented(case: Case) -> None:
    torch.manual_seed(0)
    num_logit_layers = 0
    for name, module in case.small(NUM_CLASSES).named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.weight.requires_grad:
            is_transposed = isinstance(module, nn.ConvTranspose2d)
            fan = math.prod(module.kernel_size)
            fan *= module.in_channels if is_transposed else module.out_channels
            fan /= math.prod(module.stride) if is_transposed else 1
            # A layer before a ReLU, or one that predicts logits, which has a bias.
            off_rectified = deviation(module.weight, 2 / fan)
            off_logits = deviation(module.weight, 0.01**2)
            assert off_rectified < 6 or (off_logits < 6 and module.bias is not None), name
            num_logit_layers += off_logits < 6
            assert module.bias is None or not module.bias.any(), name
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all(), name
            assert not module.bias.any(), name
    assert num_logit_layers > 0


def deviation(weight: Tensor, variance: float) -> float:
    """Measure how far a weight's square sum is from a variance's, in standard deviations.

    The sum of n squares over their variance has mean n and variance 2n: a chi-square.
    """
    squares, count = weight.square().sum().item(), weight.numel()
    return abs(squares / variance - count) / math.sqrt(2 * count)


@one_of_each_kind_and_nightly_the_rest
def test_every_parameter_learns(case: Case) -> None:
    network = build_small(case).train()
    for name, parameter in learning_from(network).items():
        assert parameter.grad is not None, f"{name} has no part in the output"
        assert parameter.grad.isfinite().all(), name
    # With fixed statistics a bias before batch norm has an effect as well.
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.Dropout | nn.Dropout2d):
            module.eval()
    for name, parameter in learning_from(network).items():
        assert parameter.grad is not None
        assert parameter.grad.any(), f"{name} has no effect on the output"


def learning_from(network: nn.Module) -> dict[str, nn.Parameter]:
    """Backpropagate random gradients of all outputs, and list the parameters that may learn."""
    network.zero_grad()
    outputs = all_logits(network(random_images(2, 49, 41)))
    cotangents = torch.Generator().manual_seed(2)
    torch.autograd.backward(
        outputs,
        [torch.randn(logits.shape, generator=cotangents).to(logits) for logits in outputs],
    )
    named = network.named_parameters()
    return {name: parameter for name, parameter in named if parameter.requires_grad}


@one_of_each_kind_and_nightly_the_rest
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


@one_of_each_kind_and_nightly_the_rest
def test_state_dict_carries_the_whole_network(case: Case) -> None:
    network, other = kept_small(case), build_small(case, seed=3).eval()
    images = random_images(1, 33, 41)
    with torch.no_grad():
        assert not torch.allclose(network(images), other(images))
        other.load_state_dict(network.state_dict(), strict=True)
        assert torch.equal(network(images), other(images))


@one_of_each_kind_and_nightly_the_rest
def test_a_single_images_gradients_do_not_depend_on_strides(case: Case) -> None:
    if case.name == "deconvnet_vgg16":
        pytest.skip("over its innermost map of one pixel torch refuses to train with one image")
    network = build_small(case).train().to(memory_format=torch.channels_last)
    images = random_images(1, 65, 41).to(memory_format=torch.channels_last)
    with BatchNormWatch() as watch:
        outputs = all_logits(network(images))
        torch.autograd.backward(outputs, [torch.randn_like(logits) for logits in outputs])
    assert max(watch.errors, default=0.0) < 1e-9
