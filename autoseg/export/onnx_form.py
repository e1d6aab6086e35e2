"""ONNX: runs under ONNX Runtime, without torch, and in a browser."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from autoseg.export.agreement import Agreement, random_batches, require_agreement
from autoseg.export.form import Form, require_packages
from autoseg.export.graph import SegmentationGraph, quiet_exporter
from autoseg.export.quantised import quantise
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
    content = _with_metadata(_model(program), metadata)
    agreement = require_agreement(
        _runner(content),
        graph,
        form="ONNX",
        batches=random_batches(graph.normalisation.num_channels, graph.image_scale),
    )
    return content, agreement


def export_onnx_int8(
    program: ExportedProgram,
    graph: SegmentationGraph,
    *,
    metadata: Mapping[str, str],
    calibration: Iterable[NDArray[np.uint8]],
    held: Iterable[NDArray[np.uint8]],
) -> tuple[bytes, Agreement]:
    """Write a graph as ONNX whose convolutions multiply 8-bit numbers, and run it.

    Other arguments, result and errors are those of `export_onnx`.

    Args:
        program: As there.
        graph: As there.
        metadata: As there.
        calibration: Images (1, H, W, C), whose values set the ranges; see `quantise`.
        held: Others, on which it is held against the graph: random ones would leave the ranges.
    """
    content = _with_metadata(quantise(_model(program), calibration), metadata)
    agreement = require_agreement(
        _runner(content),
        graph,
        form="ONNX in int8",
        batches=held,
        rounding=Form(backend="onnxruntime", dtype="int8").tolerance(has_unpooled=False),
    )
    return content, agreement


def _model(program: ExportedProgram) -> Any:
    """Convert a recorded `SegmentationGraph`."""
    require_packages("onnxruntime", option="--format onnx")
    return to_onnx(
        program,
        inputs={INPUT: ("batch", "height", "width", None)},
        outputs={
            OUTPUTS[0]: ("batch", None, "height", "width"),
            OUTPUTS[1]: ("batch", "height", "width"),
        },
    )


def _with_metadata(model: Any, metadata: Mapping[str, str]) -> bytes:
    del model.metadata_props[:]  # a quantiser's own
    for key, text in metadata.items():
        model.metadata_props.add(key=key, value=text)
    return model.SerializeToString()


def _runner(content: bytes) -> Callable[[NDArray[np.uint8]], Sequence[NDArray[Any]]]:
    """Return a function that maps images to logits and labels by ONNX Runtime."""
    import onnxruntime  # late: an extra

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(images: NDArray[np.uint8]) -> Sequence[NDArray[Any]]:
        # Both outputs are tensors, and none of ONNX Runtime's other kinds of value.
        return cast(Sequence[NDArray[Any]], session.run(list(OUTPUTS), {INPUT: images}))

    return run


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
    # Where each operator was called, in folders of whoever exports, and addresses in memory.
    for part in (model.graph, *model.graph.node, *model.functions):
        del part.metadata_props[:]
    return model
