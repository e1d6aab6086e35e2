# pyright: reportMissingImports=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportAssignmentType=false, reportOperatorIssue=false
# Triton compiles these functions; they are Python by their grammar, not by their types.
"""The sum over the operations, weighted by alpha, and its gradients.

out[t, k] += sum_o alpha[t, o] n[o, k, t], where n is the state, or a map after batch norm.
"""

import triton
import triton.language as tl

from autoseg.supernet.triton_kernels.batch_norm import normalise, store_sums
from autoseg.supernet.triton_kernels.maps import (
    AVG_SUMS,
    COLUMN,
    FEATURE,
    MAX_SUMS,
    ROW_LENGTH,
    SIZES,
    SKIP_SUMS,
    block_position,
    channel_block,
    edge_feature,
    free_sum,
    load_map,
    slab,
    store_map,
)
from autoseg.supernet.triton_kernels.pooling import avg_pool, max_pool, pool_scatter


@triton.jit
def normalised_edge(row, target, k, norms, pixels, inside, channels, shape, C: tl.constexpr):
    """Return an edge's map after batch norm, and its feature offset."""
    maps, mean, rstd = norms
    feature = edge_feature(row, FEATURE, target, k, C)
    values = load_map(slab(maps, feature, shape, C), pixels, inside, channels, C)
    return normalise(values, mean + feature, rstd + feature, channels, C), feature


@triton.jit(do_not_specialize=SIZES)
def mix_kernel(
    table,
    num_rows,
    state,
    norms,
    alpha,
    num_columns,
    out,
    avg_feature,
    num_targets,
    num_inputs,
    shape,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    SKIP: tl.constexpr,
    MAX: tl.constexpr,
    AVG: tl.constexpr,
):
    """out[t, k] += sum_o alpha[t, o] n[o, k, t]; grid (blocks of pixels, T * K, of channels)."""
    target, k = tl.program_id(1) // num_inputs, tl.program_id(1) % num_inputs
    mean, rstd = norms[1], norms[2]
    position = block_position(tl.program_id(0), shape, BLOCK)
    pixels, inside = position[0], position[0] < shape[0]
    channels = channel_block(tl.program_id(2), BLOCK_C)
    start = slab(out, tl.program_id(1) * C, shape, C)
    weights = alpha + target * num_columns

    total = load_map(start, pixels, inside, channels, C)
    for number in range(num_rows):
        row = table + number * ROW_LENGTH
        values, feature = normalised_edge(row, target, k, norms, pixels, inside, channels, shape, C)
        total += tl.load(weights + tl.load(row + COLUMN)) * values
    source = slab(state, k * C, shape, C)
    if SKIP >= 0:
        total += tl.load(weights + SKIP) * load_map(source, pixels, inside, channels, C)
    if MAX >= 0:
        values, _ = max_pool(source, position, channels, shape, C, BLOCK, BLOCK_C)
        values = normalise(values, mean + k * C, rstd + k * C, channels, C)
        total += tl.load(weights + MAX) * values
    if AVG >= 0:
        feature = avg_feature + k * C
        values = avg_pool(source, position, channels, shape, C, BLOCK, BLOCK_C)
        values = normalise(values, mean + feature, rstd + feature, channels, C)
        total += tl.load(weights + AVG) * values
    store_map(start, total, pixels, inside, channels, C)


@triton.jit(do_not_specialize=SIZES)
def mix_sums_kernel(
    table,
    num_rows,
    state,
    norms,
    grad_out,
    partial,
    num_sums,
    avg_feature,
    num_features,
    num_targets,
    num_inputs,
    shape,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    SKIP: tl.constexpr,
    MAX: tl.constexpr,
    AVG: tl.constexpr,
):
    """Sums over each block of g and of g n for every n, with g = grad_out[t, k].

    Batch norm's gradient is made of them, and alpha's: sum_{k, p, c} g n. The grid is (blocks of
    pixels, T * K, blocks of channels).
    """
    counts = (num_targets, num_inputs)
    block = tl.program_id(0)
    target, k = tl.program_id(1) // num_inputs, tl.program_id(1) % num_inputs
    mean, rstd = norms[1], norms[2]
    position = block_position(block, shape, BLOCK)
    pixels, inside = position[0], position[0] < shape[0]
    channels = channel_block(tl.program_id(2), BLOCK_C)
    grad = load_map(slab(grad_out, tl.program_id(1) * C, shape, C), pixels, inside, channels, C)

    for number in range(num_rows):
        row = table + number * ROW_LENGTH
        values, feature = normalised_edge(row, target, k, norms, pixels, inside, channels, shape, C)
        store_sums(partial, num_sums, block, feature, grad, values, channels, C)
    source = slab(state, k * C, shape, C)
    if SKIP >= 0:
        values = load_map(source, pixels, inside, channels, C)
        edge_sum = free_sum(SKIP_SUMS, num_features, target, k, counts, C)
        store_sums(partial, num_sums, block, edge_sum, grad, values, channels, C)
    if MAX >= 0:
        values, _ = max_pool(source, position, channels, shape, C, BLOCK, BLOCK_C)
        values = normalise(values, mean + k * C, rstd + k * C, channels, C)
        edge_sum = free_sum(MAX_SUMS, num_features, target, k, counts, C)
        store_sums(partial, num_sums, block, edge_sum, grad, values, channels, C)
    if AVG >= 0:
        feature = avg_feature + k * C
        values = avg_pool(source, position, channels, shape, C, BLOCK, BLOCK_C)
        values = normalise(values, mean + feature, rstd + feature, channels, C)
        edge_sum = free_sum(AVG_SUMS, num_features, target, k, counts, C)
        store_sums(partial, num_sums, block, edge_sum, grad, values, channels, C)


@triton.jit(do_not_specialize=SIZES)
def alpha_gradient_kernel(
    sums,
    alpha_sums,
    grad_alpha,
    num_targets,
    num_inputs,
    C: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """dalpha[t, o] = sum_{k, c} of the sums of g n; 0 where there are none. Grid (T, columns)."""
    target, column = tl.program_id(0), tl.program_id(1)
    first, stride = tl.load(alpha_sums + 2 * column), tl.load(alpha_sums + 2 * column + 1)
    num_channels = tl.where(first >= 0, C, 0)
    total = tl.zeros((BLOCK_C,), sums.dtype.element_ty)
    for k in range(num_inputs):
        for start in range(0, C, BLOCK_C):
            channels = start + tl.arange(0, BLOCK_C)
            cells = sums + (first + k * stride + target * C) + channels
            total += tl.load(cells, mask=channels < num_channels, other=0.0)
    tl.store(grad_alpha + target * tl.num_programs(1) + column, tl.sum(total, axis=0))


@triton.jit(do_not_specialize=SIZES)
def state_gradient_kernel(
    table,
    num_rows,
    state,
    upstream,
    pool_gradients,
    max_taps,
    grad_state,
    num_targets,
    num_inputs,
    shape,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    SKIP: tl.constexpr,
    MAX: tl.constexpr,
    AVG: tl.constexpr,
):
    """dx += [x > 0] sum_edges da + sum_t alpha[t, skip] g[t] + the pools' part.

    The grid is (blocks of pixels, K, blocks of channels).
    """
    counts = (num_targets, num_inputs)
    k = tl.program_id(1)
    grad_out, grad_inputs, alpha, _, _, num_columns = upstream
    position = block_position(tl.program_id(0), shape, BLOCK)
    pixels, inside = position[0], position[0] < shape[0]
    channels = channel_block(tl.program_id(2), BLOCK_C)
    start = slab(grad_state, k * C, shape, C)

    activated = tl.zeros((BLOCK, BLOCK_C), state.dtype.element_ty)
    for number in range(num_rows):
        row = table + number * ROW_LENGTH
        for target in range(num_targets):
            edge_grad = slab(grad_inputs, edge_feature(row, FEATURE, target, k, C), shape, C)
            activated += load_map(edge_grad, pixels, inside, channels, C)
    values = load_map(slab(state, k * C, shape, C), pixels, inside, channels, C)
    grad = load_map(start, pixels, inside, channels, C) + tl.where(values > 0, activated, 0.0)
    if SKIP >= 0:
        for target in range(num_targets):
            target_grad = slab(grad_out, (target * num_inputs + k) * C, shape, C)
            weight = tl.load(alpha + target * num_columns + SKIP)
            grad += weight * load_map(target_grad, pixels, inside, channels, C)
    if MAX >= 0 or AVG >= 0:
        grad += pool_scatter(
            pool_gradients, max_taps, k, position, channels, counts, shape,
            C, BLOCK, BLOCK_C, MAX, AVG,
        )  # fmt: skip
    store_map(start, grad, pixels, inside, channels, C)
