# pyright: reportMissingImports=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportAssignmentType=false, reportOperatorIssue=false
# Triton compiles these functions; they are Python by their grammar, not by their types.
"""Matrix products and tiles of the weights."""

import triton
import triton.language as tl


@triton.jit
def product(left, right, PRECISION: tl.constexpr):
    """left (A, B) @ right (B, D); sums are of the operands' type, exact with "ieee"."""
    SMALLEST: tl.constexpr = 16
    if left.shape[0] < SMALLEST or left.shape[1] < SMALLEST or right.shape[1] < SMALLEST:
        # Narrow maps: padding them to the 16 of a matrix instruction costs more than it gives.
        result = tl.sum(left[:, :, None] * right[None, :, :], axis=1)
    else:
        result = tl.dot(left, right, input_precision=PRECISION, out_dtype=left.dtype)
    return result


@triton.jit
def load_tile(start, rows, columns, row_stride, column_stride, C: tl.constexpr):
    """Load matrix[rows, columns] of (C, C); zero past the edges."""
    mask = (rows < C)[:, None] & (columns < C)[None, :]
    cells = start + (rows[:, None] * row_stride + columns[None, :] * column_stride)
    return tl.load(cells, mask=mask, other=0.0)


@triton.jit
def store_tile(start, tile, rows, columns, row_stride, column_stride, C: tl.constexpr):
    """Store matrix[rows, columns] of (C, C)."""
    mask = (rows < C)[:, None] & (columns < C)[None, :]
    tl.store(start + (rows[:, None] * row_stride + columns[None, :] * column_stride), tile, mask)
