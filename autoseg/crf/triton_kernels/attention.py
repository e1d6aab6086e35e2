# pyright: reportMissingImports=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportAssignmentType=false, reportOperatorIssue=false
# pyright: reportPossiblyUnboundVariable=false
# Triton compiles these functions; they are Python by their grammar, not by their types.
"""The bilateral filter over all pairs of pixels, a tile of pairs at a time, none of it stored.

The pixels are put in an order in which neighbours in it are near in position and colour. Tiles
between groups of pixels that are far apart, whose every pair weighs next to nothing, are left out.
"""

import math

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from autoseg.crf.linear import LinearFilter
from autoseg.crf.pixels import pixel_colours, pixel_positions
from autoseg.crf.triton_kernels.rows import launch, load_rows, store_rows, to_rows

SIDE = 64
"""Pixels along each side of a tile."""
LOWEST_EXPONENT = -30.0
"""A tile is left out if all its pairs weigh less than exp(-30) = 9e-14.

Together the pairs of a million pixels add less than 1e-7 to a sum that is at least 1 (the pixel
itself): the size of float32 rounding.
"""
_LARGEST_BLOCK = 128
"""Labels that a program takes at a time; the kernel is computed again for the others."""
_MORTON_BITS = 12
LARGEST_EXACT = 2048
"""Whole numbers up to this are float16 numbers."""
_NUM_FACTORS = 16
"""Columns of the tables that distances are the products of: a matrix instruction's."""


class TritonBruteForceFilter(LinearFilter):
    """K_ij = exp(-|p_i - p_j|^2 / (2 xy_std^2) - |I_i - I_j|^2 / (2 rgb_std^2)), i = j included.

    Distances are scaled by the deviations only afterwards, as in `autoseg.crf.exact`: between
    8-bit colours they are whole numbers, which matrix instructions compute without rounding; for
    other colours, and for images of more than 2048 rows or columns, they are computed from
    differences, which takes about twice the time. Messages are products of three TF32 parts, exact
    to about 2^-21. Time grows with the square of the number of pixels at worst; memory does not.
    """

    def __init__(self, image: Tensor, *, xy_std: float, rgb_std: float) -> None:
        """Order the pixels.

        Args:
            image: uint8 or floating point, (3, H, W), colours 0 to 255.
            xy_std: Standard deviation over positions, pixels.
            rgb_std: Standard deviation over colours.
        """
        sites = torch.cat([pixel_positions(image), pixel_colours(image)], dim=1).float()
        stds = torch.tensor([xy_std] * 2 + [rgb_std] * 3, dtype=torch.float64, device=image.device)
        self._order = _morton_code(sites.double() / stds).argsort(stable=True)
        self._place = torch.empty_like(self._order)
        self._place[self._order] = torch.arange(len(sites), device=image.device)
        self._sites = sites[self._order].t().contiguous()  # (5, P)

        num_groups = triton.cdiv(len(sites), SIDE)
        padded = F.pad(self._sites[None], (0, num_groups * SIDE - len(sites)), mode="replicate")
        groups = padded[0].view(5, num_groups, SIDE)
        self._boxes = torch.cat([groups.amin(dim=2), groups.amax(dim=2)])  # (10, groups)
        self._is_whole = not image.is_floating_point() and max(image.shape) <= LARGEST_EXACT
        self._left = self._right = self._sites
        if self._is_whole:
            centre = torch.tensor([image.shape[1] // 2, image.shape[2] // 2], device=image.device)
            positions, colours = self._sites[:2].t() - centre, self._sites[2:].t()
            pairs = [_distance_factors(positions), _distance_factors(colours)]
            # (P, 16) of positions, then of colours
            self._left, self._right = (torch.stack(part) for part in zip(*pairs, strict=True))
        # Powers of two are what the device computes; the square of a huge deviation overflows.
        self._xy_factor, self._rgb_factor = (
            -0.5 / std / std / math.log(2) for std in (xy_std, rgb_std)
        )

    def product(self, values: Tensor) -> Tensor:
        num_pixels, num_labels = values.shape
        rows = to_rows(values[self._order])
        pitch = rows.shape[1]
        # Matrix instructions take no fewer than 16 columns.
        block = min(max(triton.next_power_of_2(pitch), 16), _LARGEST_BLOCK)
        filtered = torch.empty_like(rows)
        launch(
            gaussian_kernel, (triton.cdiv(num_pixels, SIDE), triton.cdiv(pitch, block)),
            rows, self._sites, self._left, self._right, self._boxes, filtered, num_pixels,
            self._xy_factor, self._rgb_factor,
            IS_WHOLE=self._is_whole, LOWEST=LOWEST_EXPONENT / math.log(2),
            PITCH=pitch, SIDE=SIDE, BLOCK_L=block,
        )  # fmt: skip
        return filtered[self._place, :num_labels]

    def adjoint_product(self, values: Tensor) -> Tensor:
        return self.product(values)  # the kernel is symmetric in i and j


def _distance_factors(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return tables a and b with a_i . b_j = |x_i - x_j|^2 for points x, (P, D), whole numbers.

    |x_i|^2 - 2 x_i . x_j + |x_j|^2, with the squares as high 2048 + low: all entries are whole and
    at most 2048, so exact in float16, (P, 16), and all sums are below 2^24, so exact in float32.
    """
    squares = points.square().sum(dim=1, keepdim=True)
    low = squares % LARGEST_EXACT
    high = (squares - low) / LARGEST_EXACT
    one, scale = torch.ones_like(low), torch.full_like(low, LARGEST_EXACT)
    left = torch.cat([-2 * points, high, low, scale, one], dim=1)
    right = torch.cat([points, scale, one, high, low], dim=1)
    padding = (0, _NUM_FACTORS - left.shape[1])
    return F.pad(left, padding).half(), F.pad(right, padding).half()


def _morton_code(features: Tensor) -> Tensor:
    """Number places along a curve that visits near features (P, 5) one after the other, int64."""
    digits = (features * 2).clamp(0, 2**_MORTON_BITS - 1).to(torch.int64)
    code = torch.zeros_like(digits[:, 0])
    for bit in range(_MORTON_BITS):
        for dim, digit in enumerate(digits.unbind(dim=1)):
            code |= (digit >> bit & 1) << (bit * 5 + dim)
    return code


@triton.jit
def load_sites(sites, numbers, num_pixels):
    """Load row, column and the three colours of pixels."""
    present = numbers < num_pixels
    y = tl.load(sites + numbers, mask=present, other=0.0)
    x = tl.load(sites + num_pixels + numbers, mask=present, other=0.0)
    red = tl.load(sites + 2 * num_pixels + numbers, mask=present, other=0.0)
    green = tl.load(sites + 3 * num_pixels + numbers, mask=present, other=0.0)
    blue = tl.load(sites + 4 * num_pixels + numbers, mask=present, other=0.0)
    return y, x, red, green, blue


@triton.jit
def squared_differences(a, b):
    """|a_i - b_j|^2 of all pairs, (A, B)."""
    difference = a[:, None] - b[None, :]
    return difference * difference


@triton.jit
def load_factors(table, part, numbers, num_pixels):
    """Load what distances are products of, (R, 16): of positions (part 0) or colours (1)."""
    return load_rows(table, part * num_pixels + numbers, numbers < num_pixels, tl.arange(0, 16), 16)


@triton.jit
def squared_gap(boxes, dim, group, other, num_groups):
    """The square of the distance between two groups' ranges of one coordinate."""
    low, high = boxes + dim * num_groups, boxes + (5 + dim) * num_groups
    above = tl.load(low + other) - tl.load(high + group)
    below = tl.load(low + group) - tl.load(high + other)
    gap = tl.maximum(tl.maximum(above, below), 0.0)
    return gap * gap


@triton.jit
def to_tf32(values):
    """Cut float32 numbers off after 10 bits of mantissa."""
    return (values.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)


@triton.jit(do_not_specialize=["num_pixels"])
def gaussian_kernel(
    rows,
    sites,
    left,
    right,
    boxes,
    filtered,
    num_pixels,
    xy_factor,
    rgb_factor,
    IS_WHOLE: tl.constexpr,
    LOWEST: tl.constexpr,
    PITCH: tl.constexpr,
    SIDE: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    """sum_j 2^(xy_factor |p_i - p_j|^2 + rgb_factor |I_i - I_j|^2) v_j.

    The grid is (groups of pixels i, blocks of labels).
    """
    num_groups = tl.cdiv(num_pixels, SIDE)
    group = tl.program_id(0)
    here = group * SIDE + tl.arange(0, SIDE)
    labels = tl.program_id(1) * BLOCK_L + tl.arange(0, BLOCK_L)
    if IS_WHOLE:
        positions = load_factors(left, 0, here, num_pixels)
        colours = load_factors(left, 1, here, num_pixels)
    else:
        y, x, red, green, blue = load_sites(sites, here, num_pixels)
    total = tl.zeros((SIDE, BLOCK_L), tl.float32)
    for other in range(num_groups):
        xy_gap = squared_gap(boxes, 0, group, other, num_groups)
        xy_gap += squared_gap(boxes, 1, group, other, num_groups)
        rgb_gap = squared_gap(boxes, 2, group, other, num_groups)
        rgb_gap += squared_gap(boxes, 3, group, other, num_groups)
        rgb_gap += squared_gap(boxes, 4, group, other, num_groups)
        if xy_factor * xy_gap + rgb_factor * rgb_gap > LOWEST:
            there = other * SIDE + tl.arange(0, SIDE)
            if IS_WHOLE:
                xy_distance = tl.dot(positions, load_factors(right, 0, there, num_pixels).T)
                rgb_distance = tl.dot(colours, load_factors(right, 1, there, num_pixels).T)
            else:
                y_j, x_j, red_j, green_j, blue_j = load_sites(sites, there, num_pixels)
                xy_distance = squared_differences(y, y_j) + squared_differences(x, x_j)
                rgb_distance = squared_differences(red, red_j)
                rgb_distance += squared_differences(green, green_j)
                rgb_distance += squared_differences(blue, blue_j)
            kernel = tl.exp2(xy_factor * xy_distance + rgb_factor * rgb_distance)
            values = load_rows(rows, there, there < num_pixels, labels, PITCH)
            # Three products of TF32 numbers instead of one of float32: exact to about 2^-21.
            large_kernel, large_values = to_tf32(kernel), to_tf32(values)
            total = tl.dot(kernel - large_kernel, large_values, total, input_precision="tf32")
            total = tl.dot(large_kernel, values - large_values, total, input_precision="tf32")
            total = tl.dot(large_kernel, large_values, total, input_precision="tf32")
    store_rows(filtered, here, total, here < num_pixels, labels, PITCH)
