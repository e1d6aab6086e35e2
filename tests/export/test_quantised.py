"""Convolutions of 8-bit numbers, held against torch's own quantisation of the same network."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.errors import UsageError
from autoseg.export import Form, run_in_form
from autoseg.export.quantised import quantise
from autoseg.export.running import _exported
from autoseg.networks import build_network

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

CPU = torch.device("cpu")
INT8 = {"memory_format": "own", "is_folded": True, "dtype": "int8"}

# torch's exporters use what torch itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Chain(nn.Module):
    """Convolutions one after another, the second with a map for each of its own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.second = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8)
        self.last = nn.Conv2d(8, 5, 1)
        norm = self.first[1]
        for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            nn.init.uniform_(value, 0.5, 2.0)

    def forward(self, images):
        maps = self.first(images).relu()
        return self.last(self.second(maps) + maps)


def images(count, height, width, *, seed=1):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


CALIBRATION = [factor * images(1, 20, 31, seed=2) for factor in (0.8, 1.0, 0.9)]


def by_range(maps, seen):
    """Round to 8 bits between the least and the largest value that was seen, and 0."""
    low, high = min(float(seen.min()), 0.0), max(float(seen.max()), 0.0)
    scale = (high - low) / 255
    return torch.fake_quantize_per_tensor_affine(maps, scale, round(-low / scale), 0, 255)


def by_channel(weights):
    """Round each output channel's weights to 7 bits and a sign."""
    scales = weights.abs().amax(dim=(1, 2, 3)) / 64
    return torch.fake_quantize_per_channel_affine(
        weights, scales, torch.zeros(len(scales)), 0, -64, 64
    )


@torch.inference_mode()
def quantised_by_torch(network, inputs):
    """Run the chain with torch's own rounding, by ranges of the maps in float32."""
    folded = nn.utils.fusion.fuse_conv_bn_eval(network.first[0], network.first[1])
    seen = torch.cat(CALIBRATION)
    seen_first = folded(seen).relu()
    seen_second = network.second(seen_first)
    rounded = copy.deepcopy(network.second)
    folded.weight.data = by_channel(folded.weight)
    rounded.weight.data = by_channel(rounded.weight)
    maps = by_range(folded(by_range(inputs, seen)).relu(), seen_first)
    second = by_range(rounded(maps), seen_second)
    return network.last(by_range(second + maps, seen_second + seen_first))


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_the_logits_are_those_of_torchs_quantisation(backend):
    pytest.importorskip(backend)
    network = Chain().eval()
    running = run_in_form(
        network, Form(backend=backend, **INT8), num_channels=3, device=CPU, calibration=CALIBRATION
    ).network
    for size in ((1, 20, 31), (3, 16, 16)):
        inputs = images(*size)
        expected, logits = quantised_by_torch(network, inputs), running(inputs)
        # A sum that lies between two numbers of 8 bits goes either way: a step of one map in a few.
        assert (logits - expected).norm() < 2e-3 * expected.norm()
        with torch.inference_mode():
            rounding = (logits - network(inputs)).norm() / network(inputs).norm()
        assert 5e-3 < rounding < 5e-2  # it is rounded, and the test above sees a tenth of that


@pytest.fixture(scope="module")
def model():
    network = Chain().eval()
    return quantise(_exported(network, num_channels=3), (each.numpy() for each in CALIBRATION))


def numbers_of(model):
    return {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}


def test_two_products_fit_into_16_bits(model):
    weights = [value for value in numbers_of(model).values() if value.dtype == np.int8]
    weights = [value for value in weights if value.ndim == 4]
    assert sorted(value.shape for value in weights) == [(8, 1, 3, 3), (8, 3, 3, 3)]
    largest = max(int(np.abs(value.astype(int)).max()) for value in weights)
    assert largest == 64 and 2 * 255 * largest < 2**15  # without VNNI they are added there


def test_all_images_count(model):
    low, high = float(CALIBRATION[1].min()), float(CALIBRATION[1].max())  # neither first nor last
    scales = [float(v) for v in numbers_of(model).values() if v.shape == () and v.dtype == "f4"]
    assert any(scale == pytest.approx((high - low) / 255, rel=1e-6) for scale in scales)


def test_a_bound_beyond_zero_holds():
    torch.manual_seed(0)
    above = [nn.Conv2d(8, 8, 3), nn.Hardtanh(0.5, 2.0)]
    below = [nn.Conv2d(8, 8, 3), nn.Hardtanh(-2.0, -0.5)]
    network = nn.Sequential(nn.Conv2d(3, 8, 3), *above, *below, nn.Conv2d(8, 5, 1)).eval()
    form = Form(backend="onnxruntime", **INT8)
    running = run_in_form(
        network, form, num_channels=3, device=CPU, calibration=CALIBRATION
    ).network
    with torch.inference_mode():
        expected = network(CALIBRATION[1])
    assert (running(CALIBRATION[1]) - expected).norm() < 2e-2 * expected.norm()


def test_a_map_of_no_numbers_is_refused():
    network = Chain().eval()
    network.second.weight.data[2, 0, 1, 1] = np.nan
    with pytest.raises(UsageError, match=r"^int8: on the images .* infinite or not a number"):
        quantise(_exported(network, num_channels=3), [CALIBRATION[0].numpy()])


def test_padding_by_infinity_is_refused():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.ConstantPad2d(1, -np.inf),
        nn.MaxPool2d(3, 1),
        nn.Conv2d(8, 8, 3),
        nn.Conv2d(8, 5, 1),
    )
    with pytest.raises(UsageError, match=r"^int8: on the images .* infinite or not a number"):
        quantise(_exported(network.eval(), num_channels=3), [CALIBRATION[0].numpy()])


def test_a_network_of_one_convolution_has_none_to_quantise():
    network = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU()).eval()
    exported = _exported(network, num_channels=3)
    with pytest.raises(UsageError, match=r"^int8: the network has no convolution between its fir"):
        quantise(exported, [CALIBRATION[0].numpy()])


def test_a_network_that_unpools_is_quantised_behind_its_places():
    network = build_network("segnet_basic", num_classes=4, width=0.125).eval()
    seen = [images(1, 45, 60)]  # halved to odd sides: windows reach beyond the map
    form = Form(backend="onnxruntime", **INT8)
    running = run_in_form(network, form, num_channels=3, device=CPU, calibration=seen).network
    with torch.inference_mode():
        expected = network(seen[0])
    assert 1e-3 < (running(seen[0]) - expected).norm() / expected.norm() < 0.2
    graph = onnx.load_from_string(running.network._content).graph
    rounded = ["Dequantize" in each.input[1] for each in graph.node if each.op_type == "Conv"]
    assert rounded == [False] * 4 + [True] * 4 + [False]  # encoder, decoder, logits
