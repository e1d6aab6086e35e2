"""Every network of the zoo in int8: its rounding is noise, and back ends add up the same sums."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from autoseg.export import Form
from autoseg.export.quantised import quantise
from autoseg.export.running import _exported, _OnnxRuntime, _OpenVINO
from tests.export.eight_bits import (
    run_as_written,
    with_exact_sums,
    with_noise,
    without_rounding_before_sums,
)
from tests.networks.zoo import CASES

pytest.importorskip("onnxscript")

BEYOND = ("fc_densenet103",)
"""Networks that int8 changes by more than is allowed, with random weights and an eighth of the
channels: `compare` calls such a row doubtful, and `export` does not write it. No map is rounded
wrongly there. The network makes more of whatever is added to its maps: see
`test_a_network_beyond_multiplies_what_is_added`."""

TIED = ("pspnet_resnet50", "pspnet_resnet101", "icnet_resnet50", "icnet_pruned")
"""Networks that resize by other factors than powers of two, or divide by other numbers, between 8
bits: float32 has the results not exactly, and one in the middle of two numbers goes either way."""

LAYERS = (nn.BatchNorm2d, nn.Conv2d, nn.ConvTranspose2d)

ALLOWED = Form(backend="onnxruntime", dtype="int8").tolerance(has_unpooled=False)

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


class Quantised(NamedTuple):
    """A network in int8."""

    name: str
    network: nn.Module
    images: Tensor
    """(4, 3, H, W); they set the ranges."""
    exported: bytes
    """The graph in float32."""
    content: bytes
    """In int8."""


def quantised_(name: str, network: nn.Module) -> Quantised:
    """Quantise a network of random weights, whose biases are given a share in its maps."""
    images = torch.randn(4, 3, 97, 130)

    def bias(layer: Any, _: Any, maps: Tensor) -> Tensor:
        shift = 0.1 * maps.std() * torch.randn(maps.shape[1])
        layer.bias += shift
        return maps + shift[:, None, None]

    layers = [each for each in network.modules() if isinstance(each, LAYERS)]
    hooks = [each.register_forward_hook(bias) for each in layers if each.bias is not None]
    with torch.no_grad():
        network.eval()(images)
    for hook in hooks:
        hook.remove()
    exported = _exported(network, num_channels=3)
    model = quantise(exported, (each.numpy() for each in images.split(1)))
    return Quantised(name, network, images, exported.SerializeToString(), model.SerializeToString())


@pytest.fixture(
    scope="module",
    params=[case for case in CASES if not case.name.endswith("+crf")],
    ids=lambda case: case.name,
)
def quantised(request):
    torch.manual_seed(0)
    return quantised_(request.param.name, request.param.small(5).eval())


def run(backend: str, content: bytes, images: Tensor) -> Tensor:
    pytest.importorskip(backend)
    network = _OpenVINO(content, "int8") if backend == "openvino" else _OnnxRuntime(content)
    with torch.inference_mode():
        return network(images)


def written(content: bytes, images: Tensor) -> Tensor:
    return torch.from_numpy(run_as_written(content, images.numpy())[0])


def difference(logits: Tensor, expected: Tensor) -> float:
    return ((logits - expected).norm() / expected.norm()).item()


def off_exact_sums(backend: str, quantised: Quantised) -> float:
    """Return by how much a back end misses sums that every order of adding gives alike."""
    content, images = with_exact_sums(quantised.content), (32 * quantised.images[:1]).round() / 32
    logits = run(backend, content, images)
    if backend == "openvino":
        content = without_rounding_before_sums(content)  # it adds the convolution's own result
    return difference(logits, written(content, images))


BACKENDS = pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])


@BACKENDS
def test_it_differs_as_much_as_noise_of_its_steps_makes_it(backend, quantised):
    images = quantised.images[:1]
    logits = run(backend, quantised.content, images)
    with torch.inference_mode():
        expected = quantised.network(images)
    rounding = difference(logits, expected)
    noisy = with_noise(quantised.exported, quantised.content, quantised.images.numpy())
    noise = difference(written(noisy, images), expected)
    # One draw of a few weights: it was 0.6 to 1.8 times as much.
    assert 0.5 * noise < rounding < 2 * noise
    assert (rounding > ALLOWED) == (quantised.name in BEYOND)


def test_a_network_beyond_multiplies_what_is_added():
    def gain(name: str) -> float:
        torch.manual_seed(0)
        (network,) = (case.small(5).eval().double() for case in CASES if case.name == name)
        images = torch.randn(1, 3, 97, 130, dtype=torch.float64)
        with torch.inference_mode():
            expected = network(images)
            return difference(network(images + 1e-5 * torch.randn_like(images)), expected) / 1e-5

    assert all(gain(name) > 3 for name in BEYOND)
    assert gain("fc_densenet67") < 2  # as deep as a ResNet-50, and within what is allowed


@BACKENDS
def test_sums_are_exact_where_float32_has_them_exactly(backend, quantised):
    # 1e-5: what the last layers add up in float32.
    assert off_exact_sums(backend, quantised) < (0.02 if quantised.name in TIED else 1e-5)


class Rolling(nn.Module):
    """Convolutions with biases, the second of which is rolled or flattened."""

    def __init__(self, move):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(c, 8, 3, padding=1) for c in (3, 8, 8, 8))
        self.move = move

    def forward(self, images):
        first, second, third, last = self.convs
        maps = self.move(second(first(images).relu()))
        return last(third(maps).relu())


@BACKENDS
@pytest.mark.parametrize(
    "move",
    [lambda maps: maps.roll((1, 2), (2, 3)), lambda maps: maps.flatten(2).view(maps.shape)],
    ids=["rolled", "flattened"],
)
def test_openvino_errs_behind_a_convolution_with_a_bias_that_is_moved(backend, move):
    torch.manual_seed(0)
    error = off_exact_sums(backend, quantised_("rolling", Rolling(move).eval()))
    if backend == "onnxruntime":
        assert error < 1e-5
    else:  # once this fails, docs/scores.md need not warn of it
        assert error > 0.02
