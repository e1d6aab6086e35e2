# pyright: reportMissingImports=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportAssignmentType=false, reportOperatorIssue=false
# Triton compiles these functions; they are Python by their grammar, not by their types.
"""Depthwise and pointwise convolution of every edge, and their gradients.

With a the activated input of an edge, D its depthwise and W its pointwise kernel:
    z[p, c] = sum_tap D[c, tap] a[p + tap, c],    map[p, o] = sum_c W[o, c] z[p, c].
The grid is (blocks of pixels, rows * T * K edges, blocks of channels). Nothing but the maps is
kept: z is computed again where a gradient needs it, which is cheaper than reading it.
"""

import triton
import triton.language as tl

from autoseg.supernet.triton_kernels.batch_norm import (
    edge_gradient,
    map_gradient,
    store_moments,
    store_sums,
)
from autoseg.supernet.triton_kernels.maps import (
    DEPTHWISE,
    DILATION,
    FEATURE,
    INPUT_FEATURE,
    KERNEL_SIZE,
    POINTWISE,
    SIZES,
    block_position,
    channel_block,
    edge_feature,
    edge_input,
    edge_of,
    load_activated,
    load_map,
    load_normaliser,
    neighbours,
    slab,
    store_map,
)
from autoseg.supernet.triton_kernels.products import load_tile, product, store_tile


@triton.jit
def depthwise_of_size(
    source,
    kernel,
    position,
    channels,
    dilation,
    shape,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    SIZE: tl.constexpr,
    IS_SECOND: tl.constexpr,
    IS_GRADIENT: tl.constexpr,
):
    """Convolve as `depthwise` does, by kernels of one size that is known when it is compiled."""
    normaliser = load_normaliser(source, channels, C)
    total = tl.zeros((BLOCK, BLOCK_C), kernel.dtype.element_ty)
    direction: tl.constexpr = -1 if IS_GRADIENT else 1
    for i in range(SIZE):
        for j in tl.static_range(SIZE):
            dy, dx = direction * dilation * (i - SIZE // 2), direction * dilation * (j - SIZE // 2)
            pixels, inside = neighbours(position, dy, dx, shape)
            if IS_GRADIENT:
                values = load_map(source[0], pixels, inside, channels, C)
            else:
                values = load_activated(source, normaliser, pixels, inside, channels, C, IS_SECOND)
            taps = kernel + channels * (SIZE * SIZE) + (i * SIZE + j)
            total += values * tl.load(taps, mask=channels < C, other=0.0)[None, :]
    return total


@triton.jit
def depthwise(
    source,
    kernel,
    position,
    channels,
    size,
    dilation,
    shape,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    IS_SECOND: tl.constexpr,
    IS_GRADIENT: tl.constexpr,
):
    """Convolve a block of pixels and channels with the channels' own kernels.

    z[p, c] = sum_tap D[c, tap] a[p + tap, c]; for the gradient of a,
    da[p, c] = sum_tap D[c, tap] dz[p - tap, c], where `source` begins with the slab of dz.
    """
    if size == 3:
        result = depthwise_of_size(
            source, kernel, position, channels, dilation, shape,
            C, BLOCK, BLOCK_C, 3, IS_SECOND, IS_GRADIENT,
        )  # fmt: skip
    else:
        result = depthwise_of_size(
            source, kernel, position, channels, dilation, shape,
            C, BLOCK, BLOCK_C, 5, IS_SECOND, IS_GRADIENT,
        )  # fmt: skip
    return result


@triton.jit
def depthwise_weights(row, weight, target, size, C: tl.constexpr):
    """Return where the depthwise kernels (C, s, s) of an edge begin."""
    return weight + tl.load(row + DEPTHWISE) + target * (C * size * size)


@triton.jit
def pointwise_weights(row, weight, target, C: tl.constexpr):
    """Return where the pointwise kernel (C_out, C_in) of an edge begins."""
    return weight + tl.load(row + POINTWISE) + target * (C * C)


@triton.jit(do_not_specialize=SIZES)
def separable_kernel(
    table,
    weight,
    state,
    norms,
    moments,
    num_features,
    num_targets,
    num_inputs,
    shape,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    IS_SECOND: tl.constexpr,
    HAS_MOMENTS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """map = W z with z = D * a, and the moments of each block of the map."""
    counts = (num_targets, num_inputs)
    row, target, k = edge_of(tl.program_id(1), table, counts)
    size, dilation = tl.load(row + KERNEL_SIZE), tl.load(row + DILATION)
    source = edge_input(state, norms, row, target, k, shape, C, IS_SECOND)
    spatial = depthwise_weights(row, weight, target, size, C)
    pointwise = pointwise_weights(row, weight, target, C)
    position = block_position(tl.program_id(0), shape, BLOCK)
    outs = channel_block(tl.program_id(2), BLOCK_C)

    values = tl.zeros((BLOCK, BLOCK_C), weight.dtype.element_ty)
    for start in range(0, C, BLOCK_C):
        ins = start + tl.arange(0, BLOCK_C)
        z = depthwise(
            source, spatial, position, ins, size, dilation, shape,
            C, BLOCK, BLOCK_C, IS_SECOND, False,
        )  # fmt: skip
        values += product(z, load_tile(pointwise, ins, outs, 1, C, C), PRECISION)

    feature = edge_feature(row, FEATURE, target, k, C)
    inside = position[0] < shape[0]
    store_map(slab(norms[0], feature, shape, C), values, position[0], inside, outs, C)
    if HAS_MOMENTS:
        block = tl.program_id(0)
        store_moments(moments, num_features, block, feature, values, inside, outs, C)


@triton.jit(do_not_specialize=SIZES)
def pointwise_gradient_kernel(
    table,
    weight,
    norms,
    upstream,
    grad_depthwise,
    num_targets,
    num_inputs,
    shape,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    IS_TRAINING: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """dz[p, c] = sum_o dmap[p, o] W[o, c]."""
    counts = (num_targets, num_inputs)
    row, target, k = edge_of(tl.program_id(1), table, counts)
    edge = edge_gradient(row, target, k, norms, upstream, counts, shape, C)
    pointwise = pointwise_weights(row, weight, target, C)
    pixels, _, _ = block_position(tl.program_id(0), shape, BLOCK)
    inside = pixels < shape[0]
    ins = channel_block(tl.program_id(2), BLOCK_C)

    grad = tl.zeros((BLOCK, BLOCK_C), weight.dtype.element_ty)
    for start in range(0, C, BLOCK_C):
        outs = start + tl.arange(0, BLOCK_C)
        grad_map = map_gradient(edge, pixels, inside, outs, shape[0], C, IS_TRAINING)
        grad += product(grad_map, load_tile(pointwise, outs, ins, C, 1, C), PRECISION)

    feature = edge_feature(row, FEATURE, target, k, C)
    store_map(slab(grad_depthwise, feature, shape, C), grad, pixels, inside, ins, C)


@triton.jit(do_not_specialize=SIZES)
def pointwise_weight_kernel(
    table,
    weight,
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
    IS_SECOND: tl.constexpr,
    IS_TRAINING: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """dW[o, c] = sum_p dmap[p, o] z[p, c] over a run of blocks of pixels and one input cell."""
    counts = (num_targets, num_inputs)
    row, target, k = edge_of(tl.program_id(1), table, counts)
    size, dilation = tl.load(row + KERNEL_SIZE), tl.load(row + DILATION)
    source = edge_input(state, norms, row, target, k, shape, C, IS_SECOND)
    edge = edge_gradient(row, target, k, norms, upstream, counts, shape, C)
    spatial = depthwise_weights(row, weight, target, size, C)
    num_tiles: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    outs = channel_block(tl.program_id(2) // num_tiles, BLOCK_C)
    ins = channel_block(tl.program_id(2) % num_tiles, BLOCK_C)

    grad = tl.zeros((BLOCK_C, BLOCK_C), weight.dtype.element_ty)
    for block in range(tl.program_id(0), tl.cdiv(shape[0], BLOCK), tl.num_programs(0)):
        position = block_position(block, shape, BLOCK)
        inside = position[0] < shape[0]
        grad_map = map_gradient(edge, position[0], inside, outs, shape[0], C, IS_TRAINING)
        z = depthwise(
            source, spatial, position, ins, size, dilation, shape,
            C, BLOCK, BLOCK_C, IS_SECOND, False,
        )  # fmt: skip
        grad += product(tl.trans(grad_map), z, PRECISION)

    partial = grad_weights + (tl.program_id(0) * counts[1] + k).to(tl.int64) * num_weights
    store_tile(pointwise_weights(row, partial, target, C), grad, outs, ins, C, 1, C)


@triton.jit(do_not_specialize=SIZES)
def depthwise_gradient_kernel(
    table,
    weight,
    state,
    norms,
    grad_depthwise,
    grad_inputs,
    partial_sums,
    num_sums,
    num_targets,
    num_inputs,
    shape,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    IS_SECOND: tl.constexpr,
):
    """da[p, c] = sum_tap D[c, tap] dz[p - tap, c].

    In the second half of a separable convolution a = relu(n), with n normalised: da becomes dn,
    and its sums over each block, which the first half's batch norm needs, are stored.
    """
    counts = (num_targets, num_inputs)
    row, target, k = edge_of(tl.program_id(1), table, counts)
    size, dilation = tl.load(row + KERNEL_SIZE), tl.load(row + DILATION)
    feature = edge_feature(row, FEATURE, target, k, C)
    source = edge_input(state, norms, row, target, k, shape, C, IS_SECOND)
    grad_source = (slab(grad_depthwise, feature, shape, C), source[1], source[2])
    spatial = depthwise_weights(row, weight, target, size, C)
    position = block_position(tl.program_id(0), shape, BLOCK)
    inside = position[0] < shape[0]
    channels = channel_block(tl.program_id(2), BLOCK_C)

    grad = depthwise(
        grad_source, spatial, position, channels, size, dilation, shape,
        C, BLOCK, BLOCK_C, IS_SECOND, True,
    )  # fmt: skip
    if IS_SECOND:
        mean, rstd = load_normaliser(source, channels, C)
        normalised = (load_map(source[0], position[0], inside, channels, C) - mean) * rstd
        grad = tl.where(inside[:, None] & (normalised > 0), grad, 0.0)
        input_feature = edge_feature(row, INPUT_FEATURE, target, k, C)
        block = tl.program_id(0)
        store_sums(partial_sums, num_sums, block, input_feature, grad, normalised, channels, C)
    store_map(slab(grad_inputs, feature, shape, C), grad, position[0], inside, channels, C)


@triton.jit(do_not_specialize=SIZES)
def depthwise_weight_kernel(
    table,
    state,
    norms,
    grad_depthwise,
    grad_weights,
    num_weights,
    num_targets,
    num_inputs,
    shape,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    IS_SECOND: tl.constexpr,
):
    """dD[c, tap] = sum_p dz[p, c] a[p + tap, c] over a run of blocks and one input cell."""
    counts = (num_targets, num_inputs)
    row, target, k = edge_of(tl.program_id(1), table, counts)
    size, dilation = tl.load(row + KERNEL_SIZE), tl.load(row + DILATION)
    source = edge_input(state, norms, row, target, k, shape, C, IS_SECOND)
    feature = edge_feature(row, FEATURE, target, k, C)
    grad_map = slab(grad_depthwise, feature, shape, C)
    channels = channel_block(tl.program_id(2), BLOCK_C)
    normaliser = load_normaliser(source, channels, C)
    partial = grad_weights + (tl.program_id(0) * counts[1] + k).to(tl.int64) * num_weights
    partial = depthwise_weights(row, partial, target, size, C) + channels * (size * size)

    for tap in range(size * size):
        dy, dx = dilation * (tap // size - size // 2), dilation * (tap % size - size // 2)
        total = tl.zeros((BLOCK, BLOCK_C), state.dtype.element_ty)
        for block in range(tl.program_id(0), tl.cdiv(shape[0], BLOCK), tl.num_programs(0)):
            position = block_position(block, shape, BLOCK)
            pixels, inside = neighbours(position, dy, dx, shape)
            values = load_activated(source, normaliser, pixels, inside, channels, C, IS_SECOND)
            total += values * load_map(grad_map, position[0], inside, channels, C)
        tl.store(partial + tap, tl.sum(total, axis=0), mask=channels < C)
