# pyright: reportMissingImports=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportAssignmentType=false, reportOperatorIssue=false
# Triton compiles these functions; they are Python by their grammar, not by their types.
"""Splat, blur and slice on the permutohedral lattice, in tables of rows.

The splat adds up, for every lattice point, the rows of the pixels around it in a fixed order: the
pixels are listed by point, so that each sum belongs to one program, and points with many pixels
are summed in pieces. Compared with atomic additions that costs a table of the marginals, which is
written once and read six times an update, and one sort when the lattice is built; results are the
same bits in every run.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from autoseg.crf.linear import LinearFilter
from autoseg.crf.memory import check_closing_memory, check_lattice_memory
from autoseg.crf.triton_kernels.rows import (
    label_blocks,
    launch,
    load_rows,
    store_rows,
    to_rows,
)
from autoseg.crf.triton_kernels.simplex import PERIOD, enclosing_simplices

PIECE = 32
"""Rows that are added up at a time."""
_PIECES = 4
"""Sums of a program."""
_ROWS = 64
"""Points or pixels of a program, where it does nothing but read neighbours."""


class TritonPermutohedralFilter(LinearFilter):
    """`autoseg.crf.permutohedral.PermutohedralFilter` of (position, colour) in Triton kernels.

    The same lattice; the products are equal up to float32 rounding.
    """

    def __init__(self, image: Tensor, *, xy_std: float, rgb_std: float, closed: bool) -> None:
        """Build the lattice. Waits for the device a few times, to learn how much it holds.

        Args:
            image: uint8 or floating point, (3, H, W), colours 0 to 255.
            xy_std: Standard deviation over positions, pixels.
            rgb_std: Standard deviation over colours.
            closed: Whether the blur neighbours of the points around pixels exist as well.

        Raises:
            NotImplementedError: If the image or the lattice is too large for the kernels.
            UsageError: If the lattice is larger than the memory that is left.
        """
        self.num_pixels = image[0].numel()
        if PERIOD * self.num_pixels >= 2**31:
            raise NotImplementedError(
                f"an image of {tuple(image.shape[1:])} pixels is too large for the fused kernels."
            )
        keys, self.weights, axis_steps = enclosing_simplices(
            image.contiguous(), xy_std=xy_std, rgb_std=rgb_std, closed=closed
        )
        steps = torch.tensor(axis_steps, device=image.device)[:, None]
        sorted_keys, order = keys.flatten().sort(stable=True)
        points, number, counts = sorted_keys.unique_consecutive(
            return_inverse=True, return_counts=True
        )
        if closed:
            check_closing_memory(len(points), PERIOD, image.device)
            around, open_points = torch.cat([points + steps, points - steps]), points
            points = torch.cat([points, around.flatten()]).unique()
            places = torch.searchsorted(points, open_points)
            number = places[number]
            counts = torch.zeros_like(points).scatter_(0, places, counts)
        self.num_points = len(points)
        if self.num_points >= 2**30:
            raise NotImplementedError(
                f"a lattice of {self.num_points} points is too large for the fused kernels."
            )
        # Neighbours on both sides along each axis: their keys, and where they stand, int32, twice.
        check_lattice_memory(2 * PERIOD * self.num_points * (8 + 2 * 4), image.device)
        self.points = torch.empty_like(keys, dtype=torch.int32)
        """Point of each corner of each pixel, int32, (6, P); `weights` are theirs."""
        self.points.view(-1)[order] = number.to(torch.int32)
        self._order = order.to(torch.int32)  # corners listed by point, as positions in (6, P)
        self._pixels = self._order % self.num_pixels
        self._levels = _levels(torch.cat([counts[:1] * 0, counts.cumsum(dim=0)]))
        ahead, behind = _find(points, points + steps), _find(points, points - steps)
        self._neighbours = torch.stack([ahead, behind], dim=1)  # (6, 2, M)
        self._own_weights = self.listed(self.weights)

    def check_tables(self, pitch: int) -> None:
        """Refuse rows at points that cannot fit: two tables (M, PITCH), before a blur and after.

        Raises:
            UsageError: If the device has less memory left.
        """
        check_lattice_memory(2 * self.num_points * pitch * 4, self.points.device)

    def listed(self, weights: Tensor) -> Tensor:
        """List the corners' weights (6, P) by point."""
        return weights.flatten().index_select(0, self._order)

    def splat(self, rows: Tensor, weights: Tensor) -> Tensor:
        """Add up pixels (P, PITCH) at the points around them, (M, PITCH).

        Args:
            rows: Values of the pixels.
            weights: As from `listed`.
        """
        pitch = rows.shape[1]
        num_blocks, block = label_blocks(pitch)
        for level, starts in enumerate(self._levels):
            num_sums = len(starts) - 1
            sums = rows.new_empty(num_sums, pitch)
            launch(
                sum_kernel, (triton.cdiv(num_sums, _PIECES), num_blocks),
                rows, self._pixels, weights, starts, sums, num_sums,
                IS_FIRST=level == 0, PITCH=pitch, PIECES=_PIECES, PIECE=PIECE, BLOCK_L=block,
            )  # fmt: skip
            rows = sums
        return rows

    def blur(self, table: Tensor, *, is_adjoint: bool = False) -> Tensor:
        """Blur points (M, PITCH) by (1/2, 1, 1/2) along each axis; may overwrite the table."""
        num_blocks, block = label_blocks(table.shape[1])
        other = torch.empty_like(table)
        axes = range(PERIOD)
        for axis in reversed(axes) if is_adjoint else axes:
            launch(
                blur_kernel, (triton.cdiv(self.num_points, _ROWS), num_blocks),
                table, self._neighbours[axis], other, self.num_points,
                PITCH=table.shape[1], BLOCK=_ROWS, BLOCK_L=block,
            )  # fmt: skip
            table, other = other, table
        return table

    def slice(self, table: Tensor, weights: Tensor) -> Tensor:
        """Interpolate points (M, PITCH) at the pixels, (P, PITCH)."""
        num_blocks, block = label_blocks(table.shape[1])
        rows = table.new_empty(self.num_pixels, table.shape[1])
        launch(
            slice_kernel, (triton.cdiv(self.num_pixels, _ROWS), num_blocks),
            table, self.points, weights, rows, self.num_pixels,
            PITCH=table.shape[1], BLOCK=_ROWS, BLOCK_L=block,
        )  # fmt: skip
        return rows

    def product(self, values: Tensor) -> Tensor:
        return self._apply(values, is_adjoint=False)

    def adjoint_product(self, values: Tensor) -> Tensor:
        # Splat and slice are each other's transpose and each blur is its own.
        return self._apply(values, is_adjoint=True)

    def _apply(self, values: Tensor, *, is_adjoint: bool) -> Tensor:
        rows = to_rows(values)
        self.check_tables(rows.shape[1])
        on_points = self.blur(self.splat(rows, self._own_weights), is_adjoint=is_adjoint)
        return self.slice(on_points, self.weights)[:, : values.shape[1]]


def _levels(starts: Tensor) -> list[Tensor]:
    """Divide sums over consecutive entries into pieces, those of the pieces into pieces, and so on.

    Args:
        starts: First entry of each sum and, last, the number of entries, int64, (M + 1,).

    Returns:
        The same for each level, int32: sums over at most `PIECE` entries, then sums over at most
        as many of these. The last level has M sums.
    """
    levels = []
    while True:
        lengths = starts.diff()
        num_pieces = ((lengths + PIECE - 1) // PIECE).clamp(min=1)
        total, most = torch.stack([num_pieces.sum(), num_pieces.max()]).tolist()
        if most == 1:
            return [*levels, starts.to(torch.int32)]
        first_piece = torch.cat([starts[:1] * 0, num_pieces.cumsum(dim=0)])
        owner = torch.arange(len(lengths), device=starts.device)
        owner = owner.repeat_interleave(num_pieces, output_size=total)
        number = torch.arange(total, device=starts.device) - first_piece[owner]
        pieces = torch.cat([starts[owner] + PIECE * number, starts[-1:]])
        levels.append(pieces.to(torch.int32))
        starts = first_piece


def _find(points: Tensor, keys: Tensor) -> Tensor:
    """Return where keys stand among the points, int32, -1 for those that do not exist."""
    place = torch.searchsorted(points, keys, out_int32=True).clamp_(max=len(points) - 1)
    return torch.where(points[place] == keys, place, -1)


@triton.jit(do_not_specialize=["num_sums"])
def sum_kernel(
    rows,
    numbers,
    weights,
    starts,
    sums,
    num_sums,
    IS_FIRST: tl.constexpr,
    PITCH: tl.constexpr,
    PIECES: tl.constexpr,
    PIECE: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    """Sums over at most PIECE entries: weighted pixels at first, then the sums before.

    The grid is (blocks of sums, blocks of labels).
    """
    places = tl.program_id(0) * PIECES + tl.arange(0, PIECES)
    present = places < num_sums
    labels = tl.program_id(1) * BLOCK_L + tl.arange(0, BLOCK_L)
    first = tl.load(starts + places, mask=present, other=0)
    end = tl.load(starts + places + 1, mask=present, other=0)

    entries = first[:, None] + tl.arange(0, PIECE)[None, :]
    is_entry = entries < end[:, None]
    number = entries
    if IS_FIRST:
        number = tl.load(numbers + entries, mask=is_entry, other=0)
    cells = number.to(tl.int64)[:, :, None] * PITCH + labels[None, None, :]
    mask = is_entry[:, :, None] & (labels < PITCH)[None, None, :]
    values = tl.load(rows + cells, mask=mask, other=0.0)
    if IS_FIRST:
        values *= tl.load(weights + entries, mask=is_entry, other=0.0)[:, :, None]
    store_rows(sums, places, tl.sum(values, axis=1), present, labels, PITCH)


@triton.jit(do_not_specialize=["num_points"])
def blur_kernel(
    table,
    neighbours,
    blurred,
    num_points,
    PITCH: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    """(1/2, 1, 1/2) along one axis; grid (blocks of points, blocks of labels).

    neighbours: point ahead and point behind of each, (2, num_points); -1 where there is none.
    """
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    present = places < num_points
    labels = tl.program_id(1) * BLOCK_L + tl.arange(0, BLOCK_L)
    ahead = tl.load(neighbours + places, mask=present, other=-1)
    behind = tl.load(neighbours + num_points + places, mask=present, other=-1)
    sides = load_rows(table, ahead, ahead >= 0, labels, PITCH)
    sides += load_rows(table, behind, behind >= 0, labels, PITCH)
    centre = load_rows(table, places, present, labels, PITCH)
    store_rows(blurred, places, centre + 0.5 * sides, present, labels, PITCH)


@triton.jit
def slice_rows(table, points, weights, pixels, present, labels, num_pixels, PITCH: tl.constexpr):
    """Interpolate between the six points around each pixel, (R, L)."""
    result = tl.zeros((pixels.shape[0], labels.shape[0]), tl.float32)
    for corner in tl.static_range(6):
        place = corner * num_pixels + pixels
        point = tl.load(points + place, mask=present, other=0)
        weight = tl.load(weights + place, mask=present, other=0.0)
        result += weight[:, None] * load_rows(table, point, present, labels, PITCH)
    return result


@triton.jit(do_not_specialize=["num_pixels"])
def slice_kernel(
    table,
    points,
    weights,
    rows,
    num_pixels,
    PITCH: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    """Interpolate at every pixel; grid (blocks of pixels, blocks of labels)."""
    pixels = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    present = pixels < num_pixels
    labels = tl.program_id(1) * BLOCK_L + tl.arange(0, BLOCK_L)
    values = slice_rows(table, points, weights, pixels, present, labels, num_pixels, PITCH)
    store_rows(rows, pixels, values, present, labels, PITCH)
