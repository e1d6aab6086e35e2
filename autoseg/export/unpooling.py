"""Pooling that remembers places, and unpooling, by operators of ONNX that every back end has fast.

torch's own translation is a `MaxPool` with indices and a `ScatterND`. OpenVINO has the former as a
reference implementation alone, which took three quarters of SegNet-Basic's time.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.fx import Node

_POOL = torch.ops.aten.max_pool2d_with_indices.default
_UNPOOL = torch.ops.aten.max_unpool2d.default
_HALVING = ([2, 2], [2, 2], [0, 0], [1, 1])
"""Kernel, stride, padding and dilation of `autoseg.ops.pool_with_indices`."""


def unpooling_translations(program: ExportedProgram) -> dict[OpOverload, Callable[..., Any]]:
    """Tell how a graph's poolings with indices, and its unpoolings, are translated to ONNX.

    Args:
        program: What `record` made.

    Returns:
        A function of onnxscript for each of the two operators; together they give what torch gives,
        but for NaN. Empty if the graph does more than halve float32 maps (N, C, H, W) and restore
        their size: an index is here a place in a window, and none in the map.
    """
    find = program.graph.find_nodes
    poolings = find(op="call_function", target=_POOL)
    unpoolings = find(op="call_function", target=_UNPOOL)
    if all(map(_is_halving, poolings)) and all(map(_is_restoring, unpoolings)):
        is_covered = all(_rounds_up(pooling) for pooling in poolings)
        return {_POOL: _pool, _UNPOOL: _unpool if is_covered else _unpool_uncovered}
    return {}


def _is_halving(pooling: Node) -> bool:
    """Whether a pooling is by two, and none but unpoolings take its indices."""
    maps: Tensor = _value(pooling.args[0])
    takers = [taker for result in pooling.users if _is_indices(result) for taker in result.users]
    return (
        maps.ndim == 4
        and maps.dtype == torch.float32
        and pooling.args[1:5] == _HALVING[: len(pooling.args) - 1]
        and all(taker.target is _UNPOOL for taker in takers)
    )


def _rounds_up(pooling: Node) -> bool:
    """Whether a row or column that is left over has windows of its own."""
    return bool(pooling.args[5:6] and pooling.args[5])


def _is_restoring(unpooling: Node) -> bool:
    """Whether an unpooling takes a pooling's indices, and gives the size that was pooled."""
    from torch.fx.experimental.symbolic_shapes import statically_known_true  # late: sympy

    _, indices, size = cast(tuple[Node, Node, list[Any]], unpooling.args)
    if not _is_indices(indices):
        return False
    before = _value(cast(Node, indices.args[0]).args[0]).shape[2:]
    sides = zip(size, before, strict=True)
    return all(statically_known_true(_value(side) == old) for side, old in sides)


def _is_indices(node: Node) -> bool:
    """Whether a node is the second result of a pooling."""
    is_second = node.target is operator.getitem and node.args[1:] == (1,)
    return is_second and cast(Node, node.args[0]).target is _POOL


def _value(argument: Any) -> Any:
    """Return what is known of an argument: a tensor without values, or a side of one."""
    return argument.meta["val"] if isinstance(argument, Node) else argument


def _pool(
    maps: Any,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (),
    dilation: Sequence[int] = (),
    ceil_mode: bool = False,
) -> tuple[Any, Any]:
    """Return the maximum of each window of 2 x 2, and its place there, 0 to 3 row by row."""
    op = _operators()
    is_odd = op.Mod(op.Shape(maps, start=2), [2, 2])
    if ceil_mode:
        pads = op.Concat(op.Constant(value_ints=[0] * 6), is_odd, axis=0)  # below, on the right
        whole = op.Pad(maps, pads, -math.inf)
    else:
        whole = op.Slice(maps, [0, 0], op.Sub(op.Shape(maps, start=2), is_odd), [2, 3])
    # (N, C, H, W) -> four of (N, C, H/2, W/2), one for each place
    values = op.Split(op.SpaceToDepth(whole, blocksize=2), axis=1, num_outputs=4)
    maxima = op.Max(*values)
    places = 3.0
    for place in (2, 1, 0):  # of equal values torch takes the first
        places = op.Where(op.Equal(values[place], maxima), float(place), places)
    return maxima, places


def _unpool(maps: Any, places: Any, output_size: Any) -> Any:
    """Put each value to its place in a window of 2 x 2, among zeros."""
    op = _operators()
    # Constants of their own: torch says that indices are int64, and numbers would become that.
    numbers = [op.Constant(value_float=float(place)) for place in range(4)]
    values = [op.Where(op.Equal(places, number), maps, 0.0) for number in numbers]
    # DCR, the order of SpaceToDepth: all channels of the first place, of the second, ...
    whole = op.DepthToSpace(op.Concat(*values, axis=1), blocksize=2, mode="DCR")
    return op.Slice(whole, [0, 0], _sides(output_size), [2, 3])


def _unpool_uncovered(maps: Any, places: Any, output_size: Any) -> Any:
    """Do the same where a last row or column may be in no window: it is zero."""
    op = _operators()
    covered = _unpool(maps, places, output_size)
    missing = op.Sub(_sides(output_size), op.Shape(covered, start=2))
    return op.Pad(covered, op.Concat(op.Constant(value_ints=[0] * 6), missing, axis=0), 0.0)


def _sides(output_size: Any) -> Any:
    """Return height and width as a vector."""
    op = _operators()
    return op.Concat(*(op.Reshape(side, [1]) for side in output_size), axis=0)


def _operators() -> Any:
    """Return ONNX's operators; their stubs know nothing of numbers among the arguments."""
    from onnxscript import opset18  # late: an extra

    return opset18
