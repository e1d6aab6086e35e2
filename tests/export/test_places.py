"""What decides a place stays float32 in a graph that computes in bfloat16 otherwise."""

import pytest
import torch
from torch import nn

from autoseg.export import Form, form, run_in_form
from autoseg.export.places import cut_behind_places
from autoseg.ops import pool_after_each, unpool, unpool_before_each

openvino = pytest.importorskip("openvino")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

# torch's exporters use what torch itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

BFLOAT16 = Form(backend="openvino", memory_format="own", is_folded=True, dtype="bfloat16")


class Unpooling(nn.Module):
    """Two poolings after a convolution each, and what unpools what was pooled, and ones.

    All weights are whole numbers, so that of images of whole numbers every sum is exact in float32,
    in any order. Those of the encoder need more digits than bfloat16 has, and those of the decoder,
    which sees signs, do not.
    """

    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleList(nn.Conv2d(count, 8, 3, padding=1) for count in (3, 8))
        self.decoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), Sign()) for _ in range(2)
        )
        generator = torch.Generator().manual_seed(0)
        for parameter in self.encoder.parameters():
            parameter.data = torch.randint(-9, 10, parameter.shape, generator=generator).float()
        for parameter in self.decoder.parameters():
            parameter.data = torch.randint(-2, 3, parameter.shape, generator=generator).float()

    def forward(self, images):
        maps, places = pool_after_each(self.encoder, images)
        (first, size), (second, half) = places
        ones = unpool(unpool(torch.ones_like(maps), second, half) + 1, first, size)
        signs = unpool_before_each(self.decoder, maps.sign(), places)
        return torch.cat([ones, signs, images.sign()], dim=1)  # the images go two ways


class Sign(nn.Module):
    """Sign of each value."""

    def forward(self, maps):
        return maps.sign()


def images(*shape):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randint(-99, 100, shape, generator=generator).float()


def run_by(form):
    return run_in_form(
        Unpooling().eval(),
        form,
        num_channels=3,
        device=torch.device("cpu"),
        calibration=[images(1, 3, 16, 16)],
    ).network


@pytest.fixture(scope="module")
def running():
    return run_by(BFLOAT16)


@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (3, 3, 9, 14)])
def test_values_are_unpooled_to_the_places_of_float64(running, shape):
    exact = Unpooling().double()(images(*shape).double())
    rounded = Unpooling().bfloat16()(images(*shape).bfloat16())
    assert not torch.equal(rounded.double(), exact)  # the places depend on the numbers
    assert torch.equal(running(images(*shape)).double(), exact)


def test_convolutions_run_in_float32_before_the_last_place_and_in_bfloat16_after_it(running):
    if "BF16" not in form._openvino_capabilities():
        pytest.skip("no bfloat16 here")
    encoder, decoder = (precisions(request) for request in running.network._requests)
    assert (encoder, decoder) == (["f32"] * 2, ["bf16"] * 2)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_in_int8_the_places_are_those_of_float64(backend):
    pytest.importorskip("onnxruntime")
    running = run_by(Form(backend=backend, memory_format="own", is_folded=True, dtype="int8"))
    given = images(3, 3, 9, 14)
    exact = Unpooling().double()(given.double())
    assert torch.equal(running(given).double()[:, :8], exact[:, :8])  # ones, among zeros
    assert (running(given) - exact).abs().max() <= 2  # signs
    graph = onnx.load_from_string(running.network._content).graph
    rounded = [node.input[1] for node in graph.node if node.op_type == "Conv"]
    assert ["Dequantize" in name for name in rounded] == [False, False, True, False]


def precisions(request):
    """Ask OpenVINO in which numbers it runs the convolutions of a part."""
    nodes = request.get_compiled_model().get_runtime_model().get_ops()
    facts = [{key: value.value for key, value in node.get_rt_info().items()} for node in nodes]
    return [str(each["runtimePrecision"]) for each in facts if each["layerType"] == "Convolution"]


def graph(kind):
    """Build a graph by hand, of images (N, 3, H, W)."""
    ops = openvino.opset14
    images = ops.parameter([-1, 3, -1, -1], openvino.Type.f32)
    maps = ops.relu(images)
    if kind == "indices":  # torch's own translation of a pooling
        maxima, indices = ops.max_pool(maps, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).outputs()
        unpooled = ops.multiply(maxima, ops.convert(indices, "f32"))
        size = ops.reduce_sum(ops.convert(ops.shape_of(maps), "f32"), [0])
        result = ops.add(unpooled, size)
    elif kind == "pooling":
        result = ops.max_pool(maps, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)
    elif kind == "images":  # known before anything is rounded
        zero, one = (ops.constant(value, openvino.Type.f32) for value in (0, 1))
        result = ops.select(ops.equal(images, zero), one, maps)
    else:
        result = maps
    return openvino.Model([result], [images])


@pytest.mark.parametrize("kind", ["pooling", "images", "nothing"])
def test_a_graph_without_places_stays_whole(kind):
    model = graph(kind)
    assert cut_behind_places(model) == [model]


def test_indices_of_a_pooling_are_places_and_no_map_is_handed_on_for_its_size():
    def run(model, inputs):
        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        results = openvino.compile_model(model, "CPU", settings)(inputs)
        return [results[place] for place in range(len(model.outputs))]

    given = [images(2, 3, 6, 4).numpy()]
    (whole,) = run(graph("indices"), given)
    first, second = cut_behind_places(graph("indices"))
    handed_on = run(first, given)
    assert sorted(each.shape for each in handed_on) == [(2, 3, 3, 2), (2, 3, 3, 2), (4,)]
    (cut,) = run(second, handed_on)
    assert (cut == whole).all()
