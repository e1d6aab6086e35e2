# pyright: reportMissingImports=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportAssignmentType=false, reportOperatorIssue=false
# Triton compiles these functions; they are Python by their grammar, not by their types.
"""Full convolution of every edge, and its gradients.

With a the activated state and W the kernel (C_out, C_in, s, s) of an edge:
    map[p, o] = sum_{c, tap} W[o, c, tap] a[p + tap, c].
The grid is (blocks of pixels, rows * T * K edges, blocks of channels).
"""

import triton
import triton.language as tl

from autoseg.supernet.triton_kernels.batch_norm import edge_gradient, map_gradient, store_moments
from autoseg.supernet.triton_kernels.maps import (
    DILATION,
    FEATURE,
    KERNEL_SIZE,
    POINTWISE,
    SIZES,
    block_position,
    channel_block,
    edge_feature,
    edge_of,
    load_map,
    neighbours,
    relu,
    slab,
    store_map,
)
from autoseg.supernet.triton_kernels.plan import MAX_KERNEL_SIZE
from autoseg.supernet.triton_kernels.products import load_tile, product, store_tile

MAX_TAPS = tl.constexpr(MAX_KERNEL_SIZE**2)
"""Taps of the largest kernel."""


@triton.jit
def full_weights(row, weight, target, size, C: tl.constexpr):
    """Return where the kernel (C_out, C_in, s, s) of an edge begins."""
    return weight + tl.load(row + POINTWISE) + target * (C * C * size * size)


@triton.jit
def displacement(tap, size, dilation):
    """Return (dy, dx) of a tap."""
    return dilation * (tap // size - size // 2), dilation * (tap % size - size // 2)


@triton.jit(do_not_specialize=SIZES)
def atrous_kernel(
    table,
    weight,
    state,
    maps,
    moments,
    num_features,
    num_targets,
    num_inputs,
    shape,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    HAS_MOMENTS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """map = W * a, and the moments of each block of the map."""
    counts = (num_targets, num_inputs)
    row, target, k = edge_of(tl.program_id(1), table, counts)
    size, dilation = tl.load(row + KERNEL_SIZE), tl.load(row + DILATION)
    source = slab(state, k * C, shape, C)
    kernel = full_weights(row, weight, target, size, C)
    position = block_position(tl.program_id(0), shape, BLOCK)
    outs = channel_block(tl.program_id(2), BLOCK_C)

    values = tl.zeros((BLOCK, BLOCK_C), weight.dtype.element_ty)
    for tap in range(size * size):
        dy, dx = displacement(tap, size, dilation)
        pixels, inside = neighbours(position, dy, dx, shape)
        for start in range(0, C, BLOCK_C):
            ins = start + tl.arange(0, BLOCK_C)
            activated = relu(load_map(source, pixels, inside, ins, C))
            tile = load_tile(kernel + tap, ins, outs, size * size, C * size * size, C)
            values += product(activated, tile, PRECISION)

    feature = edge_feature(row, FEATURE, target, k, C)
    inside = position[0] < shape[0]
    store_map(slab(maps, feature, shape, C), values, position[0], inside, outs, C)
    if HAS_MOMENTS:
        block = tl.program_id(0)
        store_moments(moments, num_features, block, feature, values, inside, outs, C)


@triton.jit(do_not_specialize=SIZES)
def atrous_gradient_kernel(
    table,
    weight,
    norms,
    upstream,
    grad_inputs,
    num_targets,
    num_inputs,
    shape,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    IS_TRAINING: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """da[p, c] = sum_{o, tap} W[o, c, tap] dmap[p - tap, o]."""
    counts = (num_targets, num_inputs)
    row, target, k = edge_of(tl.program_id(1), table, counts)
    size, dilation = tl.load(row + KERNEL_SIZE), tl.load(row + DILATION)
    edge = edge_gradient(row, target, k, norms, upstream, counts, shape, C)
    kernel = full_weights(row, weight, target, size, C)
    position = block_position(tl.program_id(0), shape, BLOCK)
    ins = channel_block(tl.program_id(2), BLOCK_C)

    grad = tl.zeros((BLOCK, BLOCK_C), weight.dtype.element_ty)
    for tap in range(size * size):
        dy, dx = displacement(tap, size, dilation)
        pixels, inside = neighbours(position, -dy, -dx, shape)
        for start in range(0, C, BLOCK_C):
            outs = start + tl.arange(0, BLOCK_C)
            grad_map = map_gradient(edge, pixels, inside, outs, shape[0], C, IS_TRAINING)
            tile = load_tile(kernel + tap, outs, ins, C * size * size, size * size, C)
            grad += product(grad_map, tile, PRECISION)

    start = slab(grad_inputs, edge_feature(row, FEATURE, target, k, C), shape, C)
    store_map(start, grad, position[0], position[0] < shape[0], ins, C)


@triton.jit(do_not_specialize=SIZES)
def atrous_weight_kernel(
    table,
    state,
    norms,
    upstream,
    grad_weights,
    num_weights,
    num_targets,
    num_inputs,
    shape,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    IS_TRAINING: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """dW[o, c, tap] = sum_p dmap[p, o] a[p + tap, c] over a run of blocks and one input cell.

    The last axis of the grid is (taps of the largest kernel, blocks of C_out, blocks of C_in).
    """
    counts = (num_targets, num_inputs)
    row, target, k = edge_of(tl.program_id(1), table, counts)
    size, dilation = tl.load(row + KERNEL_SIZE), tl.load(row + DILATION)
    source = slab(state, k * C, shape, C)
    edge = edge_gradient(row, target, k, norms, upstream, counts, shape, C)
    num_tiles: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    outs = channel_block(tl.program_id(2) // num_tiles % num_tiles, BLOCK_C)
    ins = channel_block(tl.program_id(2) % num_tiles, BLOCK_C)
    first_tap = tl.program_id(2) // (num_tiles * num_tiles)
    partial = grad_weights + (tl.program_id(0) * counts[1] + k).to(tl.int64) * num_weights
    partial = full_weights(row, partial, target, size, C)

    # One tap of a program, or none: the grid has the taps of the largest kernel.
    for tap in range(first_tap, size * size, MAX_TAPS):
        dy, dx = displacement(tap, size, dilation)
        grad = tl.zeros((BLOCK_C, BLOCK_C), state.dtype.element_ty)
        for block in range(tl.program_id(0), tl.cdiv(shape[0], BLOCK), tl.num_programs(0)):
            position = block_position(block, shape, BLOCK)
            here = position[0] < shape[0]
            grad_map = map_gradient(edge, position[0], here, outs, shape[0], C, IS_TRAINING)
            pixels, inside = neighbours(position, dy, dx, shape)
            activated = relu(load_map(source, pixels, inside, ins, C))
            grad += product(tl.trans(grad_map), activated, PRECISION)
        store_tile(partial + tap, grad, outs, ins, C * size * size, size * size, C)
