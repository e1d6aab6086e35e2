"""Graphs in int8 with other arithmetic: noise in place of rounding, and sums that are exact.

In them a pair of QuantizeLinear and DequantizeLinear rounds a map x to S (q - Z), q from 0 to 255.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

make_node = onnx.helper.make_node
from_array, to_array = onnx.numpy_helper.from_array, onnx.numpy_helper.to_array


class Pair(NamedTuple):
    """One that rounds a map."""

    maps: str
    """Name of the map."""
    result: str
    """Name of the rounded one."""
    limits: tuple[float, float]
    """What q = 0 and q = 255 stand for."""


def run_as_written(
    content: bytes, images: np.ndarray, names: list[str] | None = None
) -> list[np.ndarray]:
    """Run a graph in float32, operator by operator, and return its results, or those named."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(names, {session.get_inputs()[0].name: images})


def with_noise(exported: bytes, quantised: bytes, images: np.ndarray) -> bytes:
    """Add noise to a graph in float32 where another in int8 rounds: uniform, within half a step.

    That is what rounding does to a value that is no multiple of the step (Bennett 1948, "Spectra of
    Quantized Signals"). 0 always is one, and stays. Of the graph in int8 only the places are taken;
    steps are by the maps' values on the images, and by the largest weight of a channel.
    """
    model, rounded = (onnx.load_from_string(each) for each in (exported, quantised))
    constants = {each.name for each in rounded.graph.initializer}
    generator = np.random.default_rng(0)
    axes = {"Conv": 0, "ConvTranspose": 1}  # of the output's channels
    takers = [node for node in model.graph.node if node.op_type in axes]
    channels = {node.input[1]: axes[node.op_type] for node in takers}
    for tensor in model.graph.initializer:
        if tensor.name in channels and f"{tensor.name}_quantized" in constants:
            weights = to_array(tensor)
            others = tuple({0, 1, 2, 3} - {channels[tensor.name]})
            steps = np.abs(weights).max(others, keepdims=True) / 64
            noise = steps * generator.uniform(-0.5, 0.5, weights.shape) * (weights != 0)
            tensor.CopyFrom(from_array((weights + noise).astype(np.float32), tensor.name))
    ranges = _ranges(exported, [pair.maps for pair in _pairs(rounded)], images)
    nodes = list(_noise_on(model.graph.input[0].name, ranges))
    for node in model.graph.node:
        taken = [f"{name}_noisy" if name in ranges else name for name in node.input]
        node.input[:] = taken
        nodes.append(node)
        for name in node.output:
            nodes += _noise_on(name, ranges)
    model.graph.initializer.append(from_array(np.float32(0), "zero"))
    return _with_nodes(model, nodes)


def _ranges(content: bytes, names: list[str], images: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return the least and the largest value of maps, 0 among them."""
    names = list(dict.fromkeys(names))  # one can be rounded for each that takes it
    model = onnx.load_from_string(content)
    kind = onnx.TensorProto.FLOAT
    outputs = [onnx.helper.make_tensor_value_info(name, kind, None) for name in names]
    model.graph.output.extend(outputs)
    maps = run_as_written(model.SerializeToString(), images, names)
    return {
        name: (min(0.0, values.min().item()), max(0.0, values.max().item()))
        for name, values in zip(names, maps, strict=True)
    }


def _noise_on(name: str, ranges: dict[str, tuple[float, float]]) -> list[Any]:
    """List the nodes that add noise to a map, if it has a range; their seed is its place there."""
    if name not in ranges:
        return []
    low, high = ranges[name]
    half, seed = (high - low) / 255 / 2, float(list(ranges).index(name))
    drawn, added, is_zero = (f"{name}_{each}" for each in ("drawn", "added", "is_zero"))
    return [
        make_node("RandomUniformLike", [name], [drawn], low=-half, high=half, seed=seed),
        make_node("Add", [name, drawn], [added]),
        make_node("Equal", [name, "zero"], [is_zero]),
        make_node("Where", [is_zero, name, added], [f"{name}_noisy"]),
    ]


def without_rounding_before_sums(content: bytes) -> bytes:
    """Of the rounding of a convolution's result that a sum alone takes, leave the limits alone.

    Of two such in one sum it is the first.
    """
    model = onnx.load_from_string(content)
    pairs = {pair.result: pair for pair in _pairs(model)}
    convolved = {node.output[0] for node in model.graph.node if node.op_type == "Conv"}
    taken = [name for node in model.graph.node for name in node.input]
    chosen: set[str] = set()
    for node in model.graph.node:
        if node.op_type == "Add":
            alone = [name for name in node.input if name in pairs and taken.count(name) == 1]
            chosen.update([name for name in alone if pairs[name].maps in convolved][:1])
    nodes = []
    for node in model.graph.node:
        result = node.output[0]
        if result in chosen:
            bounds = [f"{result}_low", f"{result}_high"]
            for name, limit in zip(bounds, pairs[result].limits, strict=True):
                model.graph.initializer.append(from_array(np.float32(limit), name))
            nodes.append(make_node("Clip", [pairs[result].maps, *bounds], [result]))
        else:
            nodes.append(node)
    return _with_nodes(model, nodes)


def with_exact_sums(content: bytes) -> bytes:
    """Choose numbers with which every sum is exact in float32, in whatever order it is added.

    All S are powers of two, and weights and biases multiples of 8, so that 24 bits hold a sum. All
    Z are even: of two numbers that are equally near the even one is taken, be Z added before or
    after. Batch norms that were not folded multiply by powers of two. Images must be whole numbers
    of 1/32.
    """
    model = onnx.load_from_string(content)
    tensors = {each.name: each for each in model.graph.initializer}
    old = {name: to_array(each) for name, each in tensors.items()}
    new: dict[str, Any] = {}
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            name, scale, zero = [*node.input, ""][:3]
            if name in old and old[name].dtype == np.int32:
                continue  # a bias: below
            new[scale] = 2 ** np.ceil(np.log2(old[scale]))
            ratio = old[scale] / new[scale]
            if name in old and old[name].dtype == np.int8:  # weights
                axis = onnx.helper.get_node_attr_value(node, "axis")
                sides = [-1 if place == axis else 1 for place in range(old[name].ndim)]
                new[name] = _eights(old[name] * ratio.reshape(sides))
                continue
            new[zero] = old[zero] * ratio // 2 * 2
            if name in old:  # a number that maps are added to or multiplied by
                new[name] = np.round((old[name].astype(int) - old[zero]) * ratio) + new[zero]
        elif node.op_type == "BatchNormalization":
            weight, bias, mean, variance = node.input[1:]
            epsilon = next(each for each in node.attribute if each.name == "epsilon")
            factor = old[weight] / np.sqrt(old[variance] + epsilon.f)
            new[weight], new[variance] = 2 ** np.round(np.log2(factor)), np.ones_like(factor)
            new[bias], new[mean] = np.round(32 * (old[bias] - old[mean] * factor)) / 32, 0 * factor
            epsilon.f = 0
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose") and node.input[2:] and node.input[2] in makers:
            maps, weights, bias = (makers[name].input for name in node.input)
            new[bias[1]] = new[maps[1]] * new[weights[1]]
            new[bias[0]] = _eights(old[bias[0]] * (old[bias[1]] / new[bias[1]]))
    for name, values in new.items():
        chosen = np.asarray(values).astype(old[name].dtype).reshape(old[name].shape)
        tensors[name].CopyFrom(from_array(chosen, name))
    return model.SerializeToString()


def _eights(values: np.ndarray) -> np.ndarray:
    return 8 * np.round(values / 8)


def _pairs(model: Any) -> list[Pair]:
    """List the pairs that round maps; weights are rounded in the file."""
    numbers = {each.name: to_array(each) for each in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    pairs = []
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in makers:
            step, zero = float(numbers[node.input[1]]), int(numbers[node.input[2]])
            limits = (-zero * step, (255 - zero) * step)
            pairs.append(Pair(makers[node.input[0]].input[0], node.output[0], limits))
    return pairs


def _with_nodes(model: Any, nodes: Iterable[Any]) -> bytes:
    copied = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copied)
    return model.SerializeToString()
