# pyright: reportMissingImports=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportAssignmentType=false, reportOperatorIssue=false
# Triton compiles these functions; they are Python by their grammar, not by their types.
"""The Gaussian over pixel positions: separable, with nothing beyond the border.

Below a deviation of 2 pixels it is evaluated at every pixel, as `autoseg.crf.gaussian` does. From
there on it works at half resolution, on cells of 2 x 2 pixels, as the compiled kernels for CPUs do:
a pixel's value is shared between the two cells next to it along each axis, 3/4 and 1/4, and its
message is interpolated from them in the same way. Either has a variance of 3/4 pixels^2; taps on
cells of variance (std^2 - 3/2) / 4 cells^2 give the kernel its own. Cells just outside the image
have a value as well, so that the border is treated like the rest.
"""

import math

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from autoseg.crf.gaussian import TRUNCATION
from autoseg.crf.triton_kernels.rows import label_blocks, launch, load_rows, store_rows

SMALLEST_HALVED = 2.0
"""Standard deviation, in pixels, from which the filter works at half resolution."""
HALVED_TRUNCATION = 3.5
"""Standard deviations after which it is cut off there; 5e-4 of the mass lie beyond."""
_BLOCK = 64
"""Pixels or cells of a program."""


class TritonSpatialFilter:
    """A normalised Gaussian over the pixels of an H x W image, up to its last factor.

    With the factors b and a of its normalisation, products of one over rows and one over columns,
    the filter is a(i) sum_j K_ij b(j) q(j). `message` returns the sum, at the pixels or on cells
    that are to be interpolated; `after` holds a.
    """

    def __init__(
        self,
        height: int,
        width: int,
        *,
        std: float,
        normalisation: str,
        truncation: float = TRUNCATION,
        may_halve: bool = True,
        device: torch.device,
    ) -> None:
        """Tabulate taps and factors.

        Args:
            height: H, pixels.
            width: W, pixels.
            std: Standard deviation, pixels.
            normalisation: One of `autoseg.crf.linear.NORMALISATIONS`.
            truncation: Standard deviations along each axis after which the kernel is cut off.
            may_halve: Whether half resolution is taken where `std` allows it.
            device: Device of the values to come.
        """
        self._height, self._width = height, width
        self.cell_side = 2 if may_halve and std >= SMALLEST_HALVED else 1
        taps = _taps(std, truncation, self.cell_side, max(height, width))
        factors = [
            _factors(length, taps, self.cell_side, normalisation) for length in (height, width)
        ]
        self._taps = taps.to(device, torch.float32)
        self._before = [before.to(device, torch.float32) for before, _ in factors]
        self.after = [after.to(device, torch.float32) for _, after in factors]
        """a over rows, (H,), and over columns, (W,)."""

    def message(self, rows: Tensor) -> Tensor:
        """Filter pixels (H W, PITCH).

        Returns:
            At full resolution (H W, PITCH); at half, with a border of one cell,
            ((ceil(H / 2) + 2) (ceil(W / 2) + 2), PITCH).
        """
        height, width = self._height, self._width
        if self.cell_side == 2:
            rows = self._cells(rows)
            height, width = -(-height // 2) + 2, -(-width // 2) + 2
        rows = self._blur(rows, height, width, 1, self._before[1])
        return self._blur(rows, 1, height, width, self._before[0])

    def _cells(self, rows: Tensor) -> Tensor:
        """Share pixels, multiplied by b, between the cells beside them."""
        num_cells = (-(-self._height // 2) + 2) * (-(-self._width // 2) + 2)
        pitch = rows.shape[1]
        num_blocks, block = label_blocks(pitch)
        cells = rows.new_empty(num_cells, pitch)
        launch(
            cells_kernel, (triton.cdiv(num_cells, _BLOCK), num_blocks),
            rows, *self._before, cells, self._height, self._width,
            PITCH=pitch, BLOCK=_BLOCK, BLOCK_L=block,
        )  # fmt: skip
        return cells

    def _blur(self, rows: Tensor, outer: int, length: int, inner: int, before: Tensor) -> Tensor:
        """Apply the taps over the middle axis of (outer, length, inner) rows."""
        pitch = rows.shape[1]
        num_blocks, block = label_blocks(pitch)
        num_sites = outer * length * inner
        blurred = rows.new_empty(num_sites, pitch)
        launch(
            taps_kernel, (triton.cdiv(num_sites, _BLOCK), num_blocks),
            rows, self._taps, before, blurred, num_sites, length, inner,
            min(len(self._taps) - 1, length - 1), HAS_FACTORS=self.cell_side == 1,
            PITCH=pitch, BLOCK=_BLOCK, BLOCK_L=block,
        )  # fmt: skip
        return blurred


def _taps(std: float, truncation: float, cell_side: int, longest: int) -> Tensor:
    """Return the kernel at distance 0, 1, ... pixels, or 2 x 2 pixels, float64."""
    share = 1.0
    if cell_side == 2:
        # sqrt(std^2 - 3/2) / std without the square, which overflows for a huge deviation.
        share = math.sqrt(1 - 1.5 / std / std)
        truncation = min(truncation, HALVED_TRUNCATION)
    deviation = std * share / cell_side
    radius = math.ceil(min(truncation * deviation, longest))
    distance = torch.arange(radius + 1, dtype=torch.float64)
    # Two pixels of a cell, and a Gaussian's mass grows with its deviation: std / (2 deviation).
    return torch.exp((distance / deviation).square() / -2) / share


def _factors(
    length: int, taps: Tensor, cell_side: int, normalisation: str
) -> tuple[Tensor, Tensor]:
    """Return b and a along one axis from the row sums of the filter along it, (length,)."""
    pixel = torch.arange(length)
    cell = pixel // 2 + 1
    beside = cell + 2 * (pixel % 2) - 1
    ones = torch.ones(length, dtype=torch.float64)
    sites = ones
    if cell_side == 2:
        sites = ones.new_zeros(-(-length // 2) + 2)
        sites = sites.index_add(0, cell, 0.75 * ones).index_add(0, beside, 0.25 * ones)
    kernel = torch.cat([taps[1:].flip(0), taps])
    sums = F.conv1d(sites[None, None], kernel[None, None], padding=len(taps) - 1)[0, 0]
    if cell_side == 2:
        sums = 0.75 * sums[cell] + 0.25 * sums[beside]
    return {
        "symmetric": (sums.rsqrt(), sums.rsqrt()),
        "before": (sums.reciprocal(), ones),
        "after": (ones, sums.reciprocal()),
        "none": (ones, ones),
    }[normalisation]


@triton.jit(do_not_specialize=["height", "width"])
def cells_kernel(
    rows,
    over_rows,
    over_columns,
    cells,
    height,
    width,
    PITCH: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    """Shares of the 4 x 4 pixels around a cell, times b; grid (blocks of cells, of labels)."""
    num_columns = (width + 1) // 2 + 2
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    present = places < num_columns * ((height + 1) // 2 + 2)
    labels = tl.program_id(1) * BLOCK_L + tl.arange(0, BLOCK_L)
    total = tl.zeros((BLOCK, BLOCK_L), tl.float32)
    for part in tl.static_range(16):
        # Cell 0 lies outside the image; cell c covers pixels 2 c - 2 and 2 c - 1.
        y = places // num_columns * 2 - 3 + part // 4
        x = places % num_columns * 2 - 3 + part % 4
        inside = present & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        share = 0.75 if part // 4 == 1 or part // 4 == 2 else 0.25
        share *= 0.75 if part % 4 == 1 or part % 4 == 2 else 0.25
        before = share * tl.load(over_rows + y, mask=inside, other=0.0)
        before *= tl.load(over_columns + x, mask=inside, other=0.0)
        total += before[:, None] * load_rows(rows, y * width + x, inside, labels, PITCH)
    store_rows(cells, places, total, present, labels, PITCH)


@triton.jit(do_not_specialize=["num_sites", "length", "inner", "radius"])
def taps_kernel(
    rows,
    taps,
    before,
    blurred,
    num_sites,
    length,
    inner,
    radius,
    HAS_FACTORS: tl.constexpr,
    PITCH: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    """sum_k taps[|k|] x[i + k] over the middle axis of (outer, length, inner) rows.

    With factors the values are multiplied by b; those of cells are already. The grid is (blocks of
    results, blocks of labels).
    """
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    present = places < num_sites
    labels = tl.program_id(1) * BLOCK_L + tl.arange(0, BLOCK_L)
    outer, along = places // (length * inner), places // inner % length
    total = tl.zeros((BLOCK, BLOCK_L), tl.float32)
    for offset in range(-radius, radius + 1):
        source = along + offset
        inside = present & (source >= 0) & (source < length)
        weight = tl.load(taps + tl.abs(offset)) + tl.zeros((BLOCK,), tl.float32)
        if HAS_FACTORS:
            weight *= tl.load(before + source, mask=inside, other=0.0)
        number = (outer * length + source) * inner + places % inner
        total += weight[:, None] * load_rows(rows, number, inside, labels, PITCH)
    store_rows(blurred, places, total, present, labels, PITCH)


@triton.jit
def load_message(
    table,
    over_rows,
    over_columns,
    pixels,
    present,
    labels,
    width,
    CELL_SIDE: tl.constexpr,
    PITCH: tl.constexpr,
):
    """Load a filter's message at pixels, times a, (R, L); interpolate it from cells."""
    y, x = pixels // width, pixels % width
    if CELL_SIDE == 1:
        message = load_rows(table, pixels, present, labels, PITCH)
    else:
        # The centre of a cell is 1/4 of a cell from its pixels, the next one 3/4.
        num_columns = (width + 1) // 2 + 2
        message = tl.zeros((pixels.shape[0], labels.shape[0]), tl.float32)
        for part in tl.static_range(4):
            row, column = y // 2 + 1, x // 2 + 1
            weight = 0.75 if part < 2 else 0.25
            if part >= 2:
                row += 2 * (y % 2) - 1
            if part % 2 == 1:
                column += 2 * (x % 2) - 1
            cell = load_rows(table, row * num_columns + column, present, labels, PITCH)
            message += (weight * (0.75 if part % 2 == 0 else 0.25)) * cell
    after = tl.load(over_rows + y, mask=present, other=0.0)
    after *= tl.load(over_columns + x, mask=present, other=0.0)
    return after[:, None] * message
