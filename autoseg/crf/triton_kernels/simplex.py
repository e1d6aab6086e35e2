# pyright: reportMissingImports=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportAssignmentType=false, reportOperatorIssue=false
# pyright: reportAttributeAccessIssue=false
# Triton compiles these functions; they are Python by their grammar, not by their types.
"""The lattice points around each pixel: `autoseg.crf.permutohedral` for (position, colour)."""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from autoseg.crf.permutohedral import CLOSED_SCALE
from autoseg.crf.triton_kernels.rows import launch

NUM_DIMS = 5
PERIOD = NUM_DIMS + 1
"""Coordinates of the lattice's plane, and corners of a simplex."""
WIDTH = tl.constexpr(8)
"""Coordinates with padding."""
_BLOCK = 32
"""Pixels of a program."""


def enclosing_simplices(
    image: Tensor, *, xy_std: float, rgb_std: float, closed: bool
) -> tuple[Tensor, Tensor, list[int]]:
    """Find the lattice points around each pixel. Waits for nothing.

    Args:
        image: uint8 or floating point, (3, H, W), contiguous, colours 0 to 255.
        xy_std: Standard deviation over positions, pixels.
        rgb_std: Standard deviation over colours.
        closed: Whether the features are scaled for a closed lattice.

    Returns:
        Keys of the points of remainder 0 to 5, int64, (6, P); the pixel's barycentric coordinates
        between them, float32, (6, P); what a step along each axis adds to a key.

    Raises:
        NotImplementedError: If keys of all that could be in such an image exceed 63 bits.
    """
    _, height, width = image.shape
    scale = CLOSED_SCALE if closed else 1.0
    stds = [xy_std / scale] * 2 + [rgb_std / scale] * 3
    spans = [width - 1, height - 1, 255, 255, 255]
    matrix = _elevation(stds)
    strides, lowest = _digits(matrix, spans)

    # A key is linear in the coordinates, and so has one coefficient for each.
    coefficients = [PERIOD * strides[0] - sum(strides[1:]), *strides[1:], 0]
    offset = -sum(first * stride for first, stride in zip(lowest, strides, strict=True))
    axis_steps = [strides[0] - coefficient for coefficient in coefficients]

    elevation = torch.zeros(NUM_DIMS, WIDTH.value, dtype=torch.float64)
    elevation[:, :PERIOD] = torch.tensor(matrix, dtype=torch.float64).t()
    key_table = torch.zeros(3, WIDTH.value, dtype=torch.int64)
    key_table[0, :PERIOD] = torch.tensor(coefficients)
    key_table[1, :PERIOD] = torch.tensor(axis_steps)
    key_table[2, 0] = offset

    num_pixels = height * width
    keys = torch.empty(PERIOD, num_pixels, dtype=torch.int64, device=image.device)
    weights = torch.empty(PERIOD, num_pixels, dtype=torch.float32, device=image.device)
    launch(
        simplex_kernel, (triton.cdiv(num_pixels, _BLOCK),),
        image, elevation.to(image.device), key_table.to(image.device), keys, weights,
        num_pixels, width, BLOCK=_BLOCK,
    )  # fmt: skip
    return keys, weights, axis_steps


def _elevation(stds: list[float]) -> list[list[float]]:
    """Return the matrix from features before their division to the plane, (6, 5).

    The axes of the features become orthogonal axes of the plane; see `permutohedral._elevate`.
    """
    matrix = [[0.0] * NUM_DIMS for _ in range(PERIOD)]
    for dim, std in enumerate(stds):
        factor = PERIOD * math.sqrt(2 / 3) / math.sqrt((dim + 1) * (dim + 2)) / std
        for axis in range(dim + 1):
            matrix[axis][dim] = factor
        matrix[dim + 1][dim] = -(dim + 1) * factor
    return matrix


def _digits(matrix: list[list[float]], spans: list[int]) -> tuple[list[int], list[int]]:
    """Return weights and lowest values of a key's digits, from what an image may hold.

    The digits of a point with coordinates c are c_0 and (c_i - c_0) / 6 for 0 < i < 5. The image's
    own digits would be a narrower range, but reading it back would wait for the device.

    Args:
        matrix: From features to the plane.
        spans: Largest value of each feature; the smallest is 0.
    """
    lowest, sizes = [], []
    for digit in range(NUM_DIMS):
        row = matrix[0]
        if digit > 0:
            row = [(a - b) / PERIOD for a, b in zip(matrix[digit], matrix[0], strict=True)]
        ends = [value * span for value, span in zip(row, spans, strict=True)]
        # A point around a pixel is less than 6 away from it in each coordinate. Beyond that, room
        # for the other corners, their neighbours and (closed) the neighbours' neighbours.
        margin = 2 + 3 if digit > 0 else 4 * PERIOD
        lowest.append(math.floor(sum(min(end, 0.0) for end in ends)) - margin)
        highest = math.ceil(sum(max(end, 0.0) for end in ends)) + margin
        sizes.append(highest - lowest[-1] + 1)
    if math.prod(sizes) >= 2**63:
        raise NotImplementedError(
            f"the lattice has up to {' x '.join(map(str, sizes))} cells, more than 2**63: the "
            "standard deviations are too small for the fused kernels."
        )
    return [math.prod(sizes[digit + 1 :]) for digit in range(NUM_DIMS)], lowest


@triton.jit
def round_half_even(values):
    """Round float64 below 2^51 in magnitude to whole numbers, as torch does."""
    MAGIC: tl.constexpr = 6755399441055744.0  # 1.5 * 2^52: its neighbours are one apart
    return (values + MAGIC) - MAGIC


@triton.jit(do_not_specialize=["num_pixels", "width"])
def simplex_kernel(
    image,
    elevation,
    key_table,
    keys,
    weights,
    num_pixels,
    width,
    BLOCK: tl.constexpr,
):
    """Keys and barycentric weights of the six corners around each pixel; grid (blocks,).

    The walk around a simplex leaves the corner of remainder 0 along the axis of the coordinate
    that lies furthest below it, then along the next, and so on.
    """
    PERIOD: tl.constexpr = 6
    pixels = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    present = pixels < num_pixels
    axes = tl.arange(0, WIDTH)
    is_axis = (axes < PERIOD)[None, :]

    elevated = tl.zeros((BLOCK, WIDTH), tl.float64)
    for dim in tl.static_range(PERIOD - 1):
        if dim == 0:
            feature = (pixels % width).to(tl.float64)
        elif dim == 1:
            feature = (pixels // width).to(tl.float64)
        else:
            channel = image + (dim - 2) * num_pixels.to(tl.int64)
            feature = tl.load(channel + pixels, mask=present, other=0).to(tl.float64)
        elevated += feature[:, None] * tl.load(elevation + dim * WIDTH + axes)[None, :]

    origin = round_half_even(elevated / PERIOD)
    difference = elevated - origin * PERIOD
    other, own = difference[:, None, :], difference[:, :, None]
    is_earlier = axes[None, None, :] < axes[None, :, None]
    is_larger = (other > own) | ((other == own) & is_earlier)
    rank = tl.sum((is_larger & is_axis[:, None, :]).to(tl.int32), axis=2)

    # Rounding coordinate by coordinate can leave the plane by `excess` periods: the coordinates
    # that were rounded furthest in that direction are rounded the other way instead.
    excess = tl.sum(origin, axis=1).to(tl.int32)[:, None]
    correction = (rank < -excess).to(tl.int32) - (rank >= PERIOD - excess).to(tl.int32)
    correction = tl.where(is_axis, correction, 0)
    origin += correction
    difference -= correction * PERIOD
    rank = tl.where(is_axis, (rank + excess + PERIOD) % PERIOD, -1)

    coefficients = tl.load(key_table + axes)[None, :]
    steps = tl.load(key_table + WIDTH + axes)[None, :]
    key = tl.load(key_table + 2 * WIDTH) + tl.sum(origin.to(tl.int64) * coefficients, axis=1)
    for corner in tl.static_range(PERIOD):
        before = (rank == (2 * PERIOD - 1 - corner) % PERIOD).to(tl.int32)
        after = (rank == (PERIOD - corner) % PERIOD).to(tl.int32)
        weight = tl.sum(difference * (before - after), axis=1) / PERIOD
        if corner == 0:
            weight += 1.0
        walked = tl.where(rank >= PERIOD - corner, steps, 0)
        place = corner * num_pixels.to(tl.int64) + pixels
        tl.store(keys + place, key + tl.sum(walked, axis=1), mask=present)
        tl.store(weights + place, weight.to(tl.float32), mask=present)
