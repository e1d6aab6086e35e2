"""ONNX: runs under ONNX Runtime, without torch, and in a browser."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from autoseg.errors import UsageError
from autoseg.export.agreement import Agreement, require_agreement
from autoseg.export.graph import SegmentationGraph, quiet_exporter

OPSET = 18
INPUT, OUTPUTS = "images", ("logits", "labels")
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def require_onnx() -> None:
    """Refuse to begin where a package is missing.

    Raises:
        UsageError: With what to install.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"--format onnx needs {' and '.join(missing)}: pip install 'autoseg-nas[export]'."
        )


def export_onnx(
    program: ExportedProgram, graph: SegmentationGraph, *, metadata: Mapping[str, str]
) -> tuple[bytes, Agreement]:
    """Write a graph as ONNX, and run it under ONNX Runtime.

    Args:
        program: What `export_graph` made of the graph.
        graph: In eval mode, on the CPU.
        metadata: Text that the file holds beside the graph.

    Returns:
        The content of the file, and how it agrees with the graph.

    Raises:
        UsageError: If a package is missing.
        DisagreementError: If it gives other logits.
    """
    require_onnx()
    import onnxruntime  # late: an extra

    with torch.no_grad(), quiet_exporter():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            verbose=False,
        )
    assert exported is not None
    model = exported.model_proto
    dimensions = {
        INPUT: ("batch", "height", "width", None),
        OUTPUTS[0]: ("batch", None, "height", "width"),
        OUTPUTS[1]: ("batch", "height", "width"),
    }
    for value in (*model.graph.input, *model.graph.output):
        shape = value.type.tensor_type.shape
        for place, name in zip(shape.dim, dimensions[value.name], strict=True):
            if name is not None:
                place.dim_param = name
    del model.graph.value_info[:]  # it knows the sizes by other names
    for key, text in metadata.items():
        model.metadata_props.add(key=key, value=text)
    content = model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(images: NDArray[np.uint8]) -> Sequence[NDArray[Any]]:
        # Both outputs are tensors, and none of ONNX Runtime's other kinds of value.
        return cast(Sequence[NDArray[Any]], session.run(list(OUTPUTS), {INPUT: images}))

    agreement = require_agreement(
        run,
        graph,
        form="ONNX",
        num_channels=graph.normalisation.num_channels,
        image_scale=graph.image_scale,
    )
    return content, agreement
