"""A graph whose convolutions multiply 8-bit numbers.

Numbers are r = S (q - Z), q of 8 bits (Jacob et al. 2018, arXiv 1712.05877, equation 1). Weights
have an S for each output channel and Z = 0; a map has one S and Z, by the least and the largest
value that it has on some images (Krishnamoorthi 2018, arXiv 1806.08342, post-training
quantisation). ONNX Runtime's quantiser does it, and writes operators that other back ends know too.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.errors import UsageError
from autoseg.export.graph import quiet_exporter

_CONVOLUTIONS = ("Conv", "ConvTranspose")

_QUANTISED = (
    *_CONVOLUTIONS,
    *("Add", "Clip", "Concat", "Mul", "Relu", "Resize", "Sigmoid"),
    *("AveragePool", "GlobalAveragePool", "MaxPool"),
    *("Pad", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"),
)
"""Operators whose maps get 8 bits, so that a convolution takes them as they are. Softmax is none of
them: small probabilities would be 0."""

_NO_RANGE = (
    "int8: on the images that set the ranges some map of the network is infinite or not a number, "
    "and 8 bits cannot say that; run it in float32."
)


def quantise(model: Any, images: Iterable[NDArray[Any]]) -> Any:
    """Quantise the convolutions of a graph, and what lies between them.

    Kept in float32 are what comes before the first convolution, the last ones, which give the
    logits, with what comes after them, and what decides to which places a network unpools (see
    autoseg.export.places).

    Args:
        model: A `ModelProto` of onnx with one input; it stays as it is.
        images: What the graph takes, one after the other; the least and the largest value of each
            map over all of them bound what its 8 bits can say.

    Returns:
        A `ModelProto`, with pairs of QuantizeLinear and DequantizeLinear (operator set 13).

    Raises:
        UsageError: If no convolution is left that may be quantised, or a map has no finite range.
    """
    import onnx  # late: an extra
    import onnxruntime
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with TemporaryDirectory(prefix="autoseg-int8-") as folder, quiet_exporter():
        folded, written = Path(folder, "folded.onnx"), Path(folder, "written.onnx")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # What is known before anything runs, batch norm among it, is folded into the weights.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folded)
        content = model.SerializeToString()
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        graph = onnx.load(folded).graph
        kept = [*_kept_in_float(graph.node), *_clipped_beside_zero(graph)]
        names = [node.name for node in kept]
        if all(node.name in names for node in graph.node if node.op_type in _CONVOLUTIONS):
            raise UsageError(
                "int8: the network has no convolution between its first and its last one that "
                "could be quantised; run it in float32."
            )
        try:
            quantize_static(
                folded,
                written,
                _Images(graph.input[0].name, images),  # pyright: ignore[reportArgumentType]  # does
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_QUANTISED),
                nodes_to_exclude=names,
                per_channel=True,
                # Weights of 7 bits: a processor without VNNI adds two products in 16 bits.
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        except AssertionError as error:  # its word for NaN in a range
            raise UsageError(_NO_RANGE) from error
        quantised = onnx.load(written)
    # Not all constants: where windows are padded, a maximum is among minus infinities.
    rounding = ("QuantizeLinear", "DequantizeLinear")
    scales = {node.input[1] for node in quantised.graph.node if node.op_type in rounding}
    for each in quantised.graph.initializer:
        if each.name in scales and not np.isfinite(onnx.numpy_helper.to_array(each)).all():
            raise UsageError(_NO_RANGE)
    return quantised


class _Images:
    """Images as ONNX Runtime's quantiser asks for them."""

    def __init__(self, name: str, images: Iterable[NDArray[Any]]) -> None:
        self._name, self._images = name, iter(images)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Return the next ones; None at the end."""
        image = next(self._images, None)
        return None if image is None else {self._name: np.ascontiguousarray(image)}


def _clipped_beside_zero(graph: Any) -> Iterator[Any]:
    """List the Clips whose result is never 0.

    The quantiser takes a Clip out, since values beyond the range of its result are rounded into it;
    but 0 is in every range, so that a bound beyond 0 would be lost.
    """
    import onnx  # late: an extra

    numbers = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Clip":
            low, high = (numbers.get(name, 0.0) for name in [*node.input[1:], "", ""][:2])
            if not low <= 0 <= high:
                yield node


def _kept_in_float(nodes: Sequence[Any]) -> Iterator[Any]:
    """List the nodes whose maps stay float32; nodes are in the order of their use."""
    sources = {result: node for node in nodes for result in node.output}

    def feeding(node: Any) -> list[Any]:
        return [sources[name] for name in node.input if name in sources]

    def and_all_before(ends: Iterable[Any]) -> set[str]:
        found: set[str] = set()
        waiting = list(ends)
        while waiting:
            node = waiting.pop()
            if node.name not in found and node.op_type != "Shape":  # a size tells no values
                found.add(node.name)
                waiting += feeding(node)
        return found

    convolutions = [node for node in nodes if node.op_type in _CONVOLUTIONS]
    before = and_all_before(each for node in convolutions for each in feeding(node))
    behind: set[str] = set()
    for node in nodes:
        is_fed = any(each.op_type in _CONVOLUTIONS or each.name in behind for each in feeding(node))
        if is_fed and node.op_type != "Shape":
            behind.add(node.name)
    deciding = set()
    for node in nodes:
        if node.op_type == "Equal":  # see autoseg.export.unpooling
            deciding |= and_all_before(feeding(node))
        elif node.op_type == "MaxPool" and len(node.output) > 1:  # torch's own translation
            deciding |= and_all_before([node])
    # OpenVINO (2026.4) fails over a DepthToSpace whose maps had several S, as those of a Concat.
    joined = {
        each.name
        for node in nodes
        if node.op_type == "DepthToSpace"
        for each in feeding(node)
        if each.op_type == "Concat"
    }
    for node in nodes:
        is_between = node.name in before and (node.op_type in _CONVOLUTIONS or node.name in behind)
        # The quantiser rounds a map for all that take it, the deciders of places among them.
        is_shared = any(each.name in deciding for each in feeding(node))
        if not is_between or is_shared or node.name in deciding | joined:
            yield node
