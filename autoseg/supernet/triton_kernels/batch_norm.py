# pyright: reportMissingImports=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportAssignmentType=false, reportOperatorIssue=false
# Triton compiles these functions; they are Python by their grammar, not by their types.
"""Batch norm without scale and shift: statistics, normalisation and its gradient.

Statistics are reduced in two stages, of which the second adds in a fixed order: no atomics, the
same bits in every run.
"""

import triton
import triton.language as tl

from autoseg.supernet import batch_norm
from autoseg.supernet.triton_kernels.maps import (
    COLUMN,
    FEATURE,
    OUTPUT_FEATURE,
    SIZES,
    edge_feature,
    load_channels,
    load_map,
    slab,
)

EPS = tl.constexpr(batch_norm.EPS)


@triton.jit
def store_moments(moments, num_features, block, feature, values, inside, channels, C: tl.constexpr):
    """Store mean and sum of squared deviations of a block of pixels, (2, blocks, features)."""
    count = tl.sum(inside.to(tl.int32), axis=0)
    mean = tl.sum(tl.where(inside[:, None], values, 0.0), axis=0) / count
    deviation = tl.where(inside[:, None], values - mean[None, :], 0.0)
    squares = tl.sum(deviation * deviation, axis=0)
    start = moments + block * num_features + feature
    tl.store(start + channels, mean, mask=channels < C)
    second = start + tl.num_programs(0) * num_features
    tl.store(second + channels, squares, mask=channels < C)


@triton.jit
def range_columns(columns, BLOCK_F: tl.constexpr):
    """Return the columns of a program, and which are before the end.

    `columns` is (first, end, start of a gap, its size): those in the gap are left out.
    """
    first, end, gap, gap_size = columns
    chosen = first + tl.program_id(0) * BLOCK_F + tl.arange(0, BLOCK_F)
    chosen = tl.where(chosen < gap, chosen, chosen + gap_size)
    return chosen, chosen < end


@triton.jit(do_not_specialize=SIZES)
def statistics_kernel(
    moments,
    mean_out,
    rstd_out,
    running_mean,
    running_var,
    num_features,
    columns,
    num_blocks,
    num_pixels,
    BLOCK: tl.constexpr,
    MOMENTUM: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_F: tl.constexpr,
):
    """Merge the moments of all blocks of pixels, and update the running statistics.

    mean = sum_b n_b mean_b / P,  P var = sum_b (M2_b + n_b (mean_b - mean)^2).

    Source: Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for
    computing sample variances".
    """
    features, valid = range_columns(columns, BLOCK_F)
    zeros = tl.zeros((ROWS, BLOCK_F), moments.dtype.element_ty)

    total = zeros
    for start in range(0, num_blocks, ROWS):
        blocks = start + tl.arange(0, ROWS)
        mask = (blocks < num_blocks)[:, None] & valid[None, :]
        counts = tl.minimum(num_pixels - blocks * BLOCK, BLOCK)[:, None].to(zeros.dtype)
        cells = moments + (blocks[:, None] * num_features + features[None, :])
        total += counts * tl.load(cells, mask=mask, other=0.0)
    mean = tl.sum(total, axis=0) / num_pixels

    total = zeros
    for start in range(0, num_blocks, ROWS):
        blocks = start + tl.arange(0, ROWS)
        mask = (blocks < num_blocks)[:, None] & valid[None, :]
        counts = tl.minimum(num_pixels - blocks * BLOCK, BLOCK)[:, None].to(zeros.dtype)
        cells = moments + (blocks[:, None] * num_features + features[None, :])
        deviation = tl.load(cells, mask=mask, other=0.0) - mean[None, :]
        squares = tl.load(cells + num_blocks * num_features, mask=mask, other=0.0)
        total += tl.where(mask, squares + counts * deviation * deviation, 0.0)
    squares = tl.sum(total, axis=0)

    tl.store(mean_out + features, mean, mask=valid)
    tl.store(rstd_out + features, 1.0 / tl.sqrt(squares / num_pixels + EPS), mask=valid)
    if MOMENTUM > 0:
        old = tl.load(running_mean + features, mask=valid)
        tl.store(running_mean + features, old + MOMENTUM * (mean - old), mask=valid)
        old = tl.load(running_var + features, mask=valid)
        unbiased = squares / (num_pixels - 1)
        tl.store(running_var + features, old + MOMENTUM * (unbiased - old), mask=valid)


@triton.jit(do_not_specialize=SIZES)
def column_sums_kernel(
    parts, sums, num_columns, columns, num_rows, ROWS: tl.constexpr, BLOCK_F: tl.constexpr
):
    """sums[m, j] = sum_i parts[m, i, j] of matrices m, always in the same order."""
    columns, valid = range_columns(columns, BLOCK_F)
    matrix = parts + tl.program_id(1).to(tl.int64) * num_rows * num_columns
    total = tl.zeros((ROWS, BLOCK_F), parts.dtype.element_ty)
    for start in range(0, num_rows, ROWS):
        indices = (start + tl.arange(0, ROWS)).to(tl.int64)
        mask = (indices < num_rows)[:, None] & valid[None, :]
        cells = matrix + (indices[:, None] * num_columns + columns[None, :])
        total += tl.load(cells, mask=mask, other=0.0)
    tl.store(sums + tl.program_id(1) * num_columns + columns, tl.sum(total, axis=0), mask=valid)


@triton.jit
def normalise(values, mean, rstd, channels, C: tl.constexpr):
    """(values - mean) / std, of (pixels, channels); the statistics begin at channel 0."""
    mean = load_channels(mean, channels, C)
    rstd = load_channels(rstd, channels, C)
    return (values - mean[None, :]) * rstd[None, :]


@triton.jit
def norm_gradient(grad, normalised, rstd, sums, num_pixels, IS_TRAINING: tl.constexpr):
    """Gradient of the values before `normalise` from that after it.

    With n the normalised values and means over the pixels,
    rstd (grad - mean(grad) - n mean(grad n));  rstd grad where the statistics are constants.

    Args:
        grad: (pixels, channels).
        normalised: n, likewise.
        rstd: 1 / std of each channel.
        sums: Sums over all pixels of grad and of grad n, of each channel.
        num_pixels: P.
        IS_TRAINING: Whether the statistics are the batch's.
    """
    if IS_TRAINING:
        grad = grad - (sums[0] / num_pixels)[None, :]
        grad = grad - normalised * (sums[1] / num_pixels)[None, :]
    return rstd[None, :] * grad


@triton.jit
def store_sums(partial, num_sums, block, feature, grad, normalised, channels, C: tl.constexpr):
    """Store a block's sums over pixels of grad and grad * normalised, (2, blocks, sums)."""
    start = partial + block * num_sums + feature
    tl.store(start + channels, tl.sum(grad, axis=0), mask=channels < C)
    second = start + tl.num_programs(0) * num_sums
    tl.store(second + channels, tl.sum(grad * normalised, axis=0), mask=channels < C)


@triton.jit
def edge_gradient(row, target, k, norms, upstream, counts, shape, C: tl.constexpr):
    """Find what `map_gradient` reads for one edge.

    Args:
        row: Row of the table.
        target: t.
        k: Input cell.
        norms: (maps before batch norm, mean, 1 / std).
        upstream: `launches.Upstream`.
        counts: (T, K).
        shape: (P, H, W).
        C: Channels.

    Returns:
        (map, gradient after batch norm, mean, 1 / std, two sums, factor of the gradient).
    """
    maps, mean, rstd = norms
    grad_out, grad_inputs, alpha, sum_grad, sum_product, num_columns = upstream
    feature = edge_feature(row, FEATURE, target, k, C)
    column = tl.load(row + COLUMN)
    if column >= 0:
        grad = slab(grad_out, (target * counts[1] + k) * C, shape, C)
    else:
        grad = slab(grad_inputs, edge_feature(row, OUTPUT_FEATURE, target, k, C), shape, C)
    factor = tl.load(alpha + target * num_columns + column, mask=column >= 0, other=1.0)
    start, mean, rstd = slab(maps, feature, shape, C), mean + feature, rstd + feature
    return start, grad, mean, rstd, sum_grad + feature, sum_product + feature, factor


@triton.jit
def map_gradient(
    edge, pixels, inside, channels, num_pixels, C: tl.constexpr, IS_TRAINING: tl.constexpr
):
    """Gradient of an edge's map before batch norm, (pixels, channels); zero outside."""
    start, grad, mean, rstd, sum_grad, sum_product, factor = edge
    values = load_map(start, pixels, inside, channels, C)
    normalised = normalise(values, mean, rstd, channels, C)
    sums = load_channels(sum_grad, channels, C), load_channels(sum_product, channels, C)
    grad = load_map(grad, pixels, inside, channels, C)
    rstd = load_channels(rstd, channels, C)
    grad = factor * norm_gradient(grad, normalised, rstd, sums, num_pixels, IS_TRAINING)
    return tl.where(inside[:, None], grad, 0.0)
