"""Every network of the zoo, and a derived one, as every form that runs elsewhere."""

import pytest
import torch

from autoseg.export import (
    SegmentationGraph,
    export_graph,
    export_onnx,
    export_pt2,
    export_torchscript,
)
from autoseg.normalisation import IMAGENET
from tests.networks.zoo import CASES

CONVERTED = [case for case in CASES if not case.name.endswith("+crf")]

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


@pytest.mark.parametrize("case", CONVERTED, ids=lambda case: case.name)
def test_a_network_is_converted_and_agrees(case):
    pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    graph = SegmentationGraph(case.small(5).eval(), normalisation=IMAGENET, image_scale=1.0).eval()
    program = export_graph(graph)
    # Each is held against the network as it is written; what differs is an error.
    for convert in (export_onnx, export_pt2, export_torchscript):
        content, agreement = convert(program, graph, metadata={"network": case.name})
        assert content
        assert agreement.equal_labels > 0.999
