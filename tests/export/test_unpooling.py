"""Unpooling in an exported graph: torch's own result, value for value, by fast operators."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoseg.export import running
from autoseg.export.graph import record
from autoseg.export.unpooling import unpooling_translations
from autoseg.ops import pool_with_indices, unpool

# torch's exporters use what torch itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Restored(nn.Module):
    """Twice halved and twice restored; the values tell which was the largest, and where it was."""

    least = 1
    """Side of the smallest images."""

    def forward(self, images):
        once, first = pool_with_indices(images)
        twice, second = pool_with_indices(once)
        size = once.shape[2:]
        corner = images[:, :, :1, :1].expand(-1, -1, 3, 5)  # of a size that is known beforehand
        known = unpool(*pool_with_indices(corner), (3, 5))[:, :, 2:, 4:].expand_as(images)
        maxima = unpool(twice, second, size)
        others = unpool(7 - twice, second, size)
        restored = [unpool(each, first, images.shape[2:]) for each in (once, maxima, others)]
        return torch.cat([*restored, known], dim=1)


class RestoredBeyond(nn.Module):
    """Halved and restored by torch's own modules, which leave out an odd row and column."""

    least = 2

    def __init__(self):
        super().__init__()
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)

    def forward(self, images):
        maxima, places = self.pool(images)
        restored = [self.unpool(each, places, images.shape[2:]) for each in (maxima, 7 - maxima)]
        return torch.cat(restored, dim=1)


def images(*shape):
    """Draw few different values, so that many are the largest of their window together."""
    generator = torch.Generator().manual_seed(sum(shape))
    values = torch.randint(-2, 3, shape, generator=generator).float()
    values[0, 0, :2] = -math.inf  # windows of nothing else
    return values


@pytest.fixture(scope="module", params=[Restored, RestoredBeyond], ids=lambda kind: kind.__name__)
def network(request):
    return request.param().eval()


@pytest.fixture(scope="module")
def content(network):
    pytest.importorskip("onnxscript")
    return running._exported(network, num_channels=3).SerializeToString()


@pytest.mark.parametrize(
    ("backend", "numbers"),
    [("onnxruntime", ()), ("openvino", ("float32",)), ("openvino", ("bfloat16",))],
)
def test_an_exported_graph_unpools_as_torch_does(network, content, backend, numbers):
    pytest.importorskip(backend)
    back_end = running._OnnxRuntime if backend == "onnxruntime" else running._OpenVINO
    exported = back_end(content, *numbers)  # bfloat16 holds the values exactly
    for shape in ((1, 3, 1, 1), (2, 3, 1, 4), (1, 3, 5, 7), (3, 3, 6, 8), (2, 3, 9, 2)):
        if min(shape[2:]) >= network.least:
            given = images(*shape)
            assert torch.equal(exported(given), network(given)), shape


def test_an_exported_graph_looks_up_no_indices(content):
    onnx = pytest.importorskip("onnx")
    used = {node.op_type for node in onnx.load_from_string(content).graph.node}
    assert "SpaceToDepth" in used
    assert not used & {"MaxPool", "ScatterND"}


class Otherwise(nn.Module):
    """Pooling and unpooling by hand, with one thing changed."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, images):
        pooled, indices = F.max_pool2d_with_indices(
            images,
            3 if self.change == "window" else 2,
            stride=1 if self.change == "stride" else 2,
            ceil_mode=self.change != "rounding",
        )
        if self.change == "indices":
            return indices
        height, width = images.shape[2:]
        if self.change == "size":  # in rows of another length
            height, width = height + 2, width + 2
        if self.change == "source":
            indices = indices.flip(1)
        return torch.ops.aten.max_unpool2d(pooled, indices, [height, width])


@pytest.mark.parametrize(
    "change", ["nothing", "rounding", "window", "stride", "indices", "size", "source"]
)
def test_what_is_not_halved_and_restored_is_left_to_torchs_translation(change):
    program = record(Otherwise(change).eval(), torch.zeros(2, 3, 10, 13), free=(0, 2, 3))
    assert bool(unpooling_translations(program)) == (change in ("nothing", "rounding"))


def test_maps_of_other_numbers_are_left_to_torchs_translation():
    program = record(Otherwise("nothing"), torch.zeros(2, 3, 10, 13).double(), free=(0, 2, 3))
    assert not unpooling_translations(program)
