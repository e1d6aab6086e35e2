"""ONNX: runs under ONNX Runtime, without torch, and in a browser."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from autoseg.export.agreement import Agreement, require_agreement
from autoseg.export.form import require_packages
from autoseg.export.graph import SegmentationGraph, quiet_exporter
from autoseg.export.unpooling import unpooling_translations

OPSET = 18
INPUT, OUTPUTS = "images", ("logits", "labels")


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
    require_packages("onnxruntime", option="--format onnx")
    import onnxruntime  # late: an extra

    model = to_onnx(
        program,
        inputs={INPUT: ("batch", "height", "width", None)},
        outputs={
            OUTPUTS[0]: ("batch", None, "height", "width"),
            OUTPUTS[1]: ("batch", "height", "width"),
        },
    )
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


def to_onnx(
    program: ExportedProgram,
    *,
    inputs: Mapping[str, Sequence[str | None]],
    outputs: Mapping[str, Sequence[str | None]],
) -> Any:
    """Convert what was recorded.

    Args:
        program: What `record` made.
        inputs: Name of each input, with the names of its axes; None for an axis of one size.
        outputs: The same of the outputs.

    Returns:
        A `ModelProto` of onnx.
    """
    with torch.no_grad(), quiet_exporter():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            custom_translation_table=unpooling_translations(program),
            verbose=False,
        )
    assert exported is not None
    model = exported.model_proto
    axes = {**inputs, **outputs}
    for value in (*model.graph.input, *model.graph.output):
        shape = value.type.tensor_type.shape
        for place, name in zip(shape.dim, axes[value.name], strict=True):
            if name is not None:
                place.dim_param = name
    del model.graph.value_info[:]  # it knows the sizes by other names
    return model
