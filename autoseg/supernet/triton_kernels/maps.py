# pyright: reportMissingImports=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportAssignmentType=false, reportOperatorIssue=false
# Triton compiles these functions; they are Python by their grammar, not by their types.
"""Reading and writing maps and the tables, shared by all kernels.

A map is a slab (P, C): P = N * H * W pixels in the order (n, y, x), channels last. The map of the
batch norm features f ... f + C - 1 begins at element f * P of a buffer, the state of input cell k
at k * C * P, the contribution to target t from k at (t * K + k) * C * P.

Arguments that recur, as tuples:
    shape: (P, H, W).
    counts: (T, K), targets and input cells.
    position: (pixels, their rows y, their columns x) of a block.
"""

import triton
import triton.language as tl

from autoseg.architecture.operations import AVG_POOL, MAX_POOL, SKIP
from autoseg.supernet.triton_kernels.plan import FREE_FAMILIES, Row

SIZES = (
    "num_targets",
    "num_inputs",
    "num_rows",
    "num_blocks",
    "num_pixels",
    "num_features",
    "num_sums",
    "num_weights",
    "avg_feature",
)
"""Arguments that differ from source to source. Triton would compile a kernel again where one is 1
or a multiple of 16, several times for each width, without any use here."""

KERNEL_SIZE = tl.constexpr(Row._fields.index("kernel_size"))
DILATION = tl.constexpr(Row._fields.index("dilation"))
DEPTHWISE = tl.constexpr(Row._fields.index("depthwise"))
POINTWISE = tl.constexpr(Row._fields.index("pointwise"))
FEATURE = tl.constexpr(Row._fields.index("feature"))
FEATURE_STRIDE = tl.constexpr(Row._fields.index("feature_stride"))
INPUT_FEATURE = tl.constexpr(Row._fields.index("input_feature"))
OUTPUT_FEATURE = tl.constexpr(Row._fields.index("output_feature"))
COLUMN = tl.constexpr(Row._fields.index("column"))
ROW_LENGTH = tl.constexpr(len(Row._fields))

SKIP_SUMS = tl.constexpr(FREE_FAMILIES.index(SKIP))
MAX_SUMS = tl.constexpr(FREE_FAMILIES.index(MAX_POOL))
AVG_SUMS = tl.constexpr(FREE_FAMILIES.index(AVG_POOL))


@triton.jit
def block_position(block, shape, BLOCK: tl.constexpr):
    """Return the position of the pixels of a block."""
    _, height, width = shape
    pixels = block * BLOCK + tl.arange(0, BLOCK)
    return pixels, pixels // width % height, pixels % width


@triton.jit
def neighbours(position, dy, dx, shape):
    """Return the pixels displaced by (dy, dx), and which of them are in the same image."""
    pixels, rows, columns = position
    num_pixels, height, width = shape
    in_height = (rows + dy >= 0) & (rows + dy < height)
    in_width = (columns + dx >= 0) & (columns + dx < width)
    return pixels + (dy * width + dx), (pixels < num_pixels) & in_height & in_width


@triton.jit
def channel_block(block, BLOCK_C: tl.constexpr):
    """Return the channels of a block, some of which may be past the last."""
    return block * BLOCK_C + tl.arange(0, BLOCK_C)


@triton.jit
def slab(buffer, feature, shape, C: tl.constexpr):
    """Return where the map of a feature offset begins."""
    offset = feature.to(tl.int64) * shape[0]  # pixels * features may pass 2**31
    # Offsets are whole multiples of C: told so, the compiler loads several channels at once.
    return buffer + tl.multiple_of(offset, C & -C)


@triton.jit
def load_map(start, pixels, inside, channels, C: tl.constexpr):
    """Load (pixels, channels) of a slab; zero outside."""
    mask = inside[:, None] & (channels < C)[None, :]
    return tl.load(start + (pixels[:, None] * C + channels[None, :]), mask=mask, other=0.0)


@triton.jit
def store_map(start, values, pixels, inside, channels, C: tl.constexpr):
    """Store (pixels, channels) of a slab where they are inside."""
    mask = inside[:, None] & (channels < C)[None, :]
    tl.store(start + (pixels[:, None] * C + channels[None, :]), values, mask=mask)


@triton.jit
def load_channels(start, channels, C: tl.constexpr):
    """Load one number of each channel; zero past the last."""
    return tl.load(start + channels, mask=channels < C, other=0.0)


@triton.jit
def relu(values):
    """max(values, 0), but not a number stays so, as in torch."""
    return tl.where(values < 0, 0.0, values)


@triton.jit
def edge_of(program, table, counts):
    """Return (row of the table, target t, input cell k) of a program; k runs fastest."""
    num_targets, num_inputs = counts
    row = table + program // (num_inputs * num_targets) * ROW_LENGTH
    return row, program // num_inputs % num_targets, program % num_inputs


@triton.jit
def edge_feature(row, which, target, k, C: tl.constexpr):
    """Return the feature offset of an edge: `which` is a feature column of the table."""
    return tl.load(row + which) + k * tl.load(row + FEATURE_STRIDE) + target * C


@triton.jit
def free_sum(which: tl.constexpr, num_features, target, k, counts, C: tl.constexpr):
    """Return the offset of an edge's sums for one of `FREE_FAMILIES`, behind the features'."""
    num_targets, num_inputs = counts
    return num_features + ((which * num_inputs + k) * num_targets + target) * C


@triton.jit
def edge_input(state, norms, row, target, k, shape, C: tl.constexpr, IS_SECOND: tl.constexpr):
    """Return what an edge's convolution reads: (slab, its mean, its 1 / std).

    The second half of a separable convolution reads the first half's map, everything else the
    state, which is not normalised.
    """
    maps, mean, rstd = norms
    if IS_SECOND:
        feature = edge_feature(row, INPUT_FEATURE, target, k, C)
        start = slab(maps, feature, shape, C)
    else:
        feature = k * C
        start = slab(state, feature, shape, C)
    return start, mean + feature, rstd + feature


@triton.jit
def load_normaliser(source, channels, C: tl.constexpr):
    """Return mean and 1 / std of the channels of an `edge_input`, as rows."""
    _, mean, rstd = source
    return load_channels(mean, channels, C)[None, :], load_channels(rstd, channels, C)[None, :]


@triton.jit
def load_activated(
    source, normaliser, pixels, inside, channels, C: tl.constexpr, IS_SECOND: tl.constexpr
):
    """Load an `edge_input` as the convolution reads it: normalised, ReLU, padded with zeros."""
    values = load_map(source[0], pixels, inside, channels, C)
    if IS_SECOND:
        mean, rstd = normaliser
        values = tl.where(inside[:, None], (values - mean) * rstd, 0.0)
    return relu(values)
