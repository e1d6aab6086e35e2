"""Prices of products that torch's counter does not know, or sees only on some devices.

Counted on the CPU, attention, the transformer encoder's fast path and an LSTM arrive as one fused
operator, which torch's `FlopCounterMode` passes over; on meta tensors it sees them taken apart. The
same network would cost less on one device than on another, so both get the price of the formula.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import torch

Shape = torch.Size | tuple[int, ...]

# Operators that multiply, and whose price depends on how they are carried out. A count that holds
# one says so instead of calling it free.
_WITHOUT_FORMULA = frozenset({"bilinear", "cdist", "_cdist_forward", "_trilinear", "kron"})
# Words in the names of operators that multiply matrices; what torch adds tomorrow has one of them.
_WORDS = ("attention", "lstm", "gru", "rnn", "conv", "mm", "matmul", "linear", "einsum", "encoder")
_FREE = frozenset({"upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d"})


def is_unmodelled(name: str, macs: int, num_outputs: int) -> bool:
    """Tell whether an operator multiplies and has no price here.

    Args:
        name: As torch prints it, for example "aten.conv2d.default".
        macs: What was counted in the call.
        num_outputs: Elements of its result; one without any costs nothing.
    """
    namespace, _, rest = name.partition(".")
    operator = rest.partition(".")[0]
    if macs or not num_outputs or operator in _FREE:
        return False
    if namespace not in ("aten", "prim", "prims"):
        return True  # somebody's own operator, which could do anything
    return operator in _WITHOUT_FORMULA or any(word in operator for word in _WORDS)


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Scores and their weighted sum: every query with every key, masked or not."""
    num_keys = key[-2]
    return 2 * prod(query[:-1]) * num_keys * (query[-1] + value[-1])


def _multi_head_attention(
    query: Shape, key: Shape, value: Shape, embed_dim: int, *_: Any, **__: Any
) -> int:
    """Project queries, keys and values, attend in all heads together, project the result."""
    num_images, num_queries = query[:2]
    num_keys = key[1]
    projections = (2 * num_queries + 2 * num_keys) * embed_dim**2
    return 2 * num_images * (projections + 2 * num_queries * num_keys * embed_dim)


def _lstm(inputs: Shape, second: Any, third: Any, fourth: Any, *_: Any, **__: Any) -> int:
    """Multiply by every weight matrix of every layer and direction, at each step."""
    is_packed = isinstance(fourth, list | tuple)  # (data, batch_sizes, state, weights, ...)
    weights = fourth if is_packed else third
    num_vectors = inputs[0] if is_packed else prod(inputs[:-1])
    return 2 * num_vectors * sum(prod(weight) for weight in weights if len(weight) == 2)


def _matrix_vector(matrix: Shape, vector: Shape, **_: Any) -> int:
    return 2 * prod(matrix)


def _added_matrix_vector(added: Shape, matrix: Shape, vector: Shape, **_: Any) -> int:
    return 2 * prod(matrix)


def _dot(left: Shape, right: Shape, **_: Any) -> int:
    return 2 * prod(left)


def _summed_products(added: Shape, left: Shape, right: Shape, **_: Any) -> int:
    return 2 * prod(left) * right[-1]


def _convolution_time_first(
    inputs: Shape, weight: Shape, *_: Any, out_shape: Shape, **__: Any
) -> int:
    return 2 * prod(out_shape) * weight[0] * weight[1]


def flop_formulas() -> dict[Any, Callable[..., int]]:
    """Return formulas for `FlopCounterMode(custom_mapping=...)`: twice the multiply-accumulates."""
    aten = torch.ops.aten
    packets: dict[Any, Callable[..., int]] = {
        aten.scaled_dot_product_attention: _attention,
        aten._native_multi_head_attention: _multi_head_attention,
        aten.lstm: _lstm,
        aten.mv: _matrix_vector,
        aten.addmv: _added_matrix_vector,
        aten.dot: _dot,
        aten.vdot: _dot,
        aten.addbmm: _summed_products,
        aten.conv_tbc: _convolution_time_first,
    }
    # The counter takes an operator apart unless it knows the overload, and prices the packet.
    overloads = {
        getattr(packet, name): formula
        for packet, formula in packets.items()
        for name in packet.overloads()
    }
    return {**packets, **overloads}
