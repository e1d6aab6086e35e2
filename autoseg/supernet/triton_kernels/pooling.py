# pyright: reportMissingImports=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportAssignmentType=false, reportOperatorIssue=false
# Triton compiles these functions; they are Python by their grammar, not by their types.
"""Pooling over 3 x 3 pixels, stride 1: values, moments and gradients.

Statistics of a pooled map are an input cell's; all targets share them.
"""

import triton
import triton.language as tl

from autoseg.supernet.triton_kernels.batch_norm import norm_gradient, normalise, store_moments
from autoseg.supernet.triton_kernels.maps import (
    AVG_SUMS,
    MAX_SUMS,
    SIZES,
    block_position,
    channel_block,
    free_sum,
    load_channels,
    load_map,
    neighbours,
    slab,
    store_map,
)


@triton.jit
def max_pool(
    source, position, channels, shape, C: tl.constexpr, BLOCK: tl.constexpr, BLOCK_C: tl.constexpr
):
    """Return the maxima of a block and the number of the tap, row-major, that each first is at."""
    best = tl.full((BLOCK, BLOCK_C), float("-inf"), source.dtype.element_ty)
    taps = tl.zeros((BLOCK, BLOCK_C), tl.int8)
    for tap in tl.static_range(9):
        pixels, inside = neighbours(position, tap // 3 - 1, tap % 3 - 1, shape)
        values = load_map(source, pixels, inside, channels, C)
        # Not a number wins, as in torch: a broken state must not look sound.
        is_better = inside[:, None] & ((values > best) | (values != values))
        best = tl.where(is_better, values, best)
        taps = tl.where(is_better, tap, taps).to(tl.int8)
    is_here = (position[0] < shape[0])[:, None]
    return tl.where(is_here, best, 0.0), taps


@triton.jit
def window_size(position, shape, source):
    """Return how many pixels of each window are in the image: padding is not counted."""
    _, rows, columns = position
    _, height, width = shape
    in_height = 1 + (rows > 0).to(tl.int32) + (rows < height - 1).to(tl.int32)
    in_width = 1 + (columns > 0).to(tl.int32) + (columns < width - 1).to(tl.int32)
    return (in_height * in_width).to(source.dtype.element_ty)


@triton.jit
def avg_pool(
    source, position, channels, shape, C: tl.constexpr, BLOCK: tl.constexpr, BLOCK_C: tl.constexpr
):
    """Return the means of a block."""
    total = tl.zeros((BLOCK, BLOCK_C), source.dtype.element_ty)
    for tap in tl.static_range(9):
        pixels, inside = neighbours(position, tap // 3 - 1, tap % 3 - 1, shape)
        total += load_map(source, pixels, inside, channels, C)
    return total / window_size(position, shape, source)[:, None]


@triton.jit(do_not_specialize=SIZES)
def pool_moments_kernel(
    state,
    moments,
    num_features,
    avg_feature,
    shape,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    MAX: tl.constexpr,
    AVG: tl.constexpr,
):
    """Moments of each block of the pooled maps; grid (blocks of pixels, K, blocks of channels)."""
    block, k = tl.program_id(0), tl.program_id(1)
    source = slab(state, k * C, shape, C)
    position = block_position(block, shape, BLOCK)
    inside = position[0] < shape[0]
    channels = channel_block(tl.program_id(2), BLOCK_C)
    if MAX >= 0:
        values, _ = max_pool(source, position, channels, shape, C, BLOCK, BLOCK_C)
        store_moments(moments, num_features, block, k * C, values, inside, channels, C)
    if AVG >= 0:
        values = avg_pool(source, position, channels, shape, C, BLOCK, BLOCK_C)
        feature = avg_feature + k * C
        store_moments(moments, num_features, block, feature, values, inside, channels, C)


@triton.jit
def pooled_gradient(
    values,
    k,
    column,
    feature,
    which: tl.constexpr,
    num_features,
    norms,
    upstream,
    counts,
    pixels,
    channels,
    shape,
    C: tl.constexpr,
    IS_TRAINING: tl.constexpr,
):
    """Gradient of a pooled map: that of its batch norm is sum_t alpha[t] grad_out[t]."""
    _, mean, rstd = norms
    grad_out, _, alpha, sums_grad, sums_product, num_columns = upstream
    num_targets, num_inputs = counts
    inside = pixels < shape[0]
    grad = tl.zeros_like(values)
    sum_grad = tl.zeros_like(load_channels(mean + feature, channels, C))
    sum_product = sum_grad
    for target in range(num_targets):
        weight = tl.load(alpha + target * num_columns + column)
        start = slab(grad_out, (target * num_inputs + k) * C, shape, C)
        grad += weight * load_map(start, pixels, inside, channels, C)
        target_sum = free_sum(which, num_features, target, k, counts, C)
        sum_grad += weight * load_channels(sums_grad + target_sum, channels, C)
        sum_product += weight * load_channels(sums_product + target_sum, channels, C)
    normalised = normalise(values, mean + feature, rstd + feature, channels, C)
    rstd = load_channels(rstd + feature, channels, C)
    return norm_gradient(grad, normalised, rstd, (sum_grad, sum_product), shape[0], IS_TRAINING)


@triton.jit(do_not_specialize=SIZES)
def pool_gradient_kernel(
    state,
    norms,
    upstream,
    pool_gradients,
    max_taps,
    avg_feature,
    num_features,
    num_targets,
    num_inputs,
    shape,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    MAX: tl.constexpr,
    AVG: tl.constexpr,
    IS_TRAINING: tl.constexpr,
):
    """Gradients of the pooled maps, (2, K, P, C), the mean's shared out among its window.

    The maximum's comes with the taps that it goes to, (K, P, C). The grid is (blocks of pixels,
    K, blocks of channels).
    """
    counts = (num_targets, num_inputs)
    k = tl.program_id(1)
    source = slab(state, k * C, shape, C)
    position = block_position(tl.program_id(0), shape, BLOCK)
    pixels, inside = position[0], position[0] < shape[0]
    channels = channel_block(tl.program_id(2), BLOCK_C)
    if MAX >= 0:
        values, taps = max_pool(source, position, channels, shape, C, BLOCK, BLOCK_C)
        grad = pooled_gradient(
            values, k, MAX, k * C, MAX_SUMS, num_features, norms, upstream, counts, pixels,
            channels, shape, C, IS_TRAINING,
        )  # fmt: skip
        store_map(slab(pool_gradients, k * C, shape, C), grad, pixels, inside, channels, C)
        store_map(slab(max_taps, k * C, shape, C), taps, pixels, inside, channels, C)
    if AVG >= 0:
        values = avg_pool(source, position, channels, shape, C, BLOCK, BLOCK_C)
        grad = pooled_gradient(
            values, k, AVG, avg_feature + k * C, AVG_SUMS, num_features, norms, upstream, counts,
            pixels, channels, shape, C, IS_TRAINING,
        )  # fmt: skip
        grad = grad / window_size(position, shape, source)[:, None]
        start = slab(pool_gradients, (num_inputs + k) * C, shape, C)
        store_map(start, grad, pixels, inside, channels, C)


@triton.jit
def pool_scatter(
    pool_gradients,
    max_taps,
    k,
    position,
    channels,
    counts,
    shape,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    MAX: tl.constexpr,
    AVG: tl.constexpr,
):
    """Gradient of the state from the windows around each pixel.

    A window that lies at tap i of this pixel has this pixel at its own tap 8 - i.
    """
    grad = tl.zeros((BLOCK, BLOCK_C), pool_gradients.dtype.element_ty)
    max_grad = slab(pool_gradients, k * C, shape, C)
    avg_grad = slab(pool_gradients, (counts[1] + k) * C, shape, C)
    for tap in tl.static_range(9):
        pixels, inside = neighbours(position, tap // 3 - 1, tap % 3 - 1, shape)
        if MAX >= 0:
            taps = load_map(slab(max_taps, k * C, shape, C), pixels, inside, channels, C)
            window = load_map(max_grad, pixels, inside, channels, C)
            grad += tl.where(taps == 8 - tap, window, 0.0)
        if AVG >= 0:
            grad += load_map(avg_grad, pixels, inside, channels, C)
    return grad
