"""Gaussian filtering in a few dimensions by splat, blur and slice on the permutohedral lattice.

The lattice of dimension d lives in the plane sum(x) = 0 of d + 1 coordinates; its points have
whole coordinates that are all equal modulo d + 1. Every point of the plane lies in a simplex of
d + 1 lattice points, one of each remainder 0 to d, and leaving a lattice point along `axis j`
(add 1 to every coordinate and subtract d + 1 from the j-th) leads to the neighbour with the next
remainder. A simplex is therefore a walk that takes d of the d + 1 axes, each once.

Source: Adams, Baek and Davis 2010, "Fast High-Dimensional Filtering Using the Permutohedral
Lattice".
"""

import math

import torch
from torch import Tensor

from autoseg.crf.linear import LinearFilter, SparseMatrix
from autoseg.crf.memory import check_closing_memory, check_lattice_memory
from autoseg.errors import UsageError

CLOSED_SCALE = 1.07
"""What the features are multiplied by, before anything else, if the lattice is closed.

The blur of a closed lattice loses less at points that do not exist and so reaches further than
that of an open one, further than the Gaussian: its features are moved apart to make up for it.
"""


class PermutohedralFilter(LinearFilter):
    """Approximate K_ij = exp(-|f_i - f_j|^2 / 2), i = j included, up to a constant factor.

    With V the lattice points around a feature, the corners of the simplices that hold one, the
    points that exist are

        open:    V
        closed:  V and its blur neighbours, v + s_j and v - s_j for v in V and each of the d + 1
                 axes j, with s_j the step along axis j: one round, not the neighbours of those

    and the blur takes all others as empty. Closed, the features are first scaled by
    `CLOSED_SCALE`; everything else (splat, the order of the blurs, slice) is the same.

    Where points are missing the filter is slightly asymmetric (the order of the axes matters) and
    its values are too small, which a normalisation by its own row sums undoes for the greater
    part. A closed lattice is nearer to the Gaussian and has several times as many points. Time and
    memory grow linearly with P.
    """

    def __init__(self, features: Tensor, *, dtype: torch.dtype, closed: bool = False) -> None:
        """Build the lattice.

        Args:
            features: f, floating point, (P, d), divided by the kernel's standard deviations;
                best float64, as rounding decides which lattice points exist around a feature
                that lies between two simplices.
            dtype: Floating point type of the values to come; they have the features' device.
            closed: Whether the blur neighbours of the points around features exist as well.

        Raises:
            UsageError: If the features span so many lattice cells that a point's name does not
                fit into 63 bits, or the lattice is larger than the memory that is left.
        """
        num_pixels, _ = features.shape
        if closed:
            features = features * CLOSED_SCALE
        corner_keys, corner_weights, axis_steps = _enclosing_simplices(features.t().contiguous())
        corner_weights = corner_weights.to(dtype)

        # One sort groups what is splatted to each point.
        sorted_keys, order = corner_keys.flatten().sort(stable=True)
        points = sorted_keys.unique_consecutive()
        if closed:
            check_closing_memory(len(points), len(axis_steps), features.device)
            ahead, behind = (points + axis_steps[:, None], points - axis_steps[:, None])
            points = torch.cat([points[None], ahead, behind]).unique()
        self.num_points = len(points)
        # The blur of each axis has three entries a point, int32 and dtype, and where they begin.
        one_blur = self.num_points * (3 * (4 + dtype.itemsize) + 4)
        check_lattice_memory(len(axis_steps) * one_blur, features.device)
        self._slice = SparseMatrix.from_rows(
            torch.searchsorted(points, corner_keys.t().contiguous()),
            corner_weights.t().contiguous(),
        )
        self._splat = SparseMatrix(
            (order % num_pixels).to(torch.int32),
            torch.searchsorted(sorted_keys, points).to(torch.int32),
            corner_weights.flatten()[order],
        )
        self._blurs = [_blur_along(step, points, dtype) for step in axis_steps.tolist()]

    def product(self, values: Tensor) -> Tensor:
        return self._apply(values, self._blurs)

    def adjoint_product(self, values: Tensor) -> Tensor:
        # Splat and slice are each other's transpose and each blur is its own, so the transposed
        # product is the same one with the blurs in reverse.
        return self._apply(values, self._blurs[::-1])

    def _apply(self, values: Tensor, blurs: list[SparseMatrix]) -> Tensor:
        # Two tables at a time, before a blur and after it.
        table = self.num_points * values.shape[1] * values.dtype.itemsize
        check_lattice_memory(2 * table, values.device)
        on_points = self._splat @ values
        for blur in blurs:
            on_points = blur @ on_points
        return self._slice @ on_points


def _elevate(features: Tensor) -> Tensor:
    """Place features (d, P) in the plane of the lattice, (d + 1, P).

    The axes of the features become orthogonal axes of the plane. The common scale is Adams et
    al.'s: splat, blur by (1/2, 1, 1/2) along every axis and slice together then have a standard
    deviation of 1 in the features.
    """
    num_dims = len(features)
    index = torch.arange(1, num_dims + 1, dtype=features.dtype, device=features.device)
    # Divided by Python, not by torch, which multiplies by a rounded reciprocal: the compiled
    # kernels compute the same bits, which decide for features between two simplices.
    deviation = (num_dims + 1) * math.sqrt(2 / 3)
    scales = [deviation / math.sqrt(i * (i + 1)) for i in range(1, num_dims + 1)]
    scaled = features * index.new_tensor(scales)[:, None]
    # Row i is the sum of the scaled features from i on, less i times the one before.
    tail_sums = scaled.flip(0).cumsum(0).flip(0)
    elevated = torch.cat([tail_sums, torch.zeros_like(features[:1])])
    elevated[1:] -= index[:, None] * scaled
    return elevated


def _enclosing_simplices(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find the lattice points around each feature.

    Args:
        features: (d, P).

    Returns:
        Keys of the corners with remainder 0 to d, int64, (d + 1, P); the feature's barycentric
        coordinates between them, (d + 1, P); and what a step along each axis adds to a key,
        int64, (d + 1,).
    """
    elevated = _elevate(features)
    period = len(elevated)  # d + 1
    origin = (elevated / period).round()  # times the period: the corner of remainder 0
    difference, order = (elevated - origin * period).sort(dim=0, descending=True, stable=True)

    # Rounding coordinate by coordinate can leave the plane by `excess` periods: the coordinates
    # that were rounded furthest in that direction are rounded the other way instead.
    excess = origin.sum(dim=0).to(torch.int64)
    rank = torch.arange(period, device=features.device)[:, None]
    correction = (rank < -excess).to(torch.int64) - (rank >= period - excess).to(torch.int64)
    origin = origin.to(torch.int64).scatter_add_(0, order, correction)
    rotation = (rank - excess) % period
    difference = (difference - correction * period).gather(0, rotation)
    order = order.gather(0, rotation)

    gaps = (difference[:-1] - difference[1:]).flip(0) / period
    corner_weights = torch.cat([1 - gaps.sum(dim=0, keepdim=True), gaps])

    origin_keys, axis_steps = _pack(origin)
    walk = axis_steps[order[1:].flip(0)].cumsum(dim=0)  # furthest below the corner goes first
    return torch.cat([origin_keys[None], origin_keys + walk]), corner_weights, axis_steps


def _pack(origin: Tensor) -> tuple[Tensor, Tensor]:
    """Name lattice points by one integer that is linear in their coordinates.

    With the points' coordinates c, u_0 = c_0 and u_i = (c_i - c_0) / (d + 1) for 0 < i < d are
    whole numbers that determine the point; the key has the digits u. Being linear, the key of a
    neighbour differs by a constant.

    Args:
        origin: Corners of remainder 0 in units of d + 1, int64, (d + 1, P).

    Returns:
        Their keys, int64, (P,), and the key of a step along each axis, int64, (d + 1,).
    """
    period = len(origin)
    num_dims = period - 1
    digits = origin[:num_dims].clone()
    digits[1:] -= origin[0]
    digits[0] *= period

    # Room for the other corners of a simplex, for the neighbours of those and (closed) for the
    # neighbours' neighbours, so that no two points that are ever looked up share a key.
    margin = torch.full_like(digits[:, :1], 3)
    margin[0] = 3 * period
    lowest = digits.amin(dim=1, keepdim=True) - margin
    sizes = (digits.amax(dim=1, keepdim=True) + margin - lowest + 1).flatten().tolist()
    if math.prod(sizes) >= 2**63:
        raise UsageError(
            f"PermutohedralFilter: the features span {' x '.join(map(str, sizes))} lattice cells, "
            "more than 2**63: the standard deviations are too small for these features; use "
            "larger ones, or mode='exact'."
        )
    strides = [math.prod(sizes[i + 1 :]) for i in range(num_dims)]
    place = torch.tensor(strides, device=origin.device)
    keys = ((digits - lowest) * place[:, None]).sum(dim=0)

    # Axis j > 0 adds 1 to u_0 and takes 1 from u_j; axis 0 takes d from u_0 and adds 1 to all
    # others; the last axis, whose coordinate is not stored, changes u_0 alone.
    steps = [sum(strides[1:]) - num_dims * strides[0]]
    steps += [strides[0] - stride for stride in strides[1:]]
    steps += [strides[0]]
    return keys, torch.tensor(steps, device=origin.device)


def _blur_along(step: int, points: Tensor, dtype: torch.dtype) -> SparseMatrix:
    """Return the blur (1/2, 1, 1/2) along one axis, symmetric, (M, M).

    Args:
        step: What a step along the axis adds to a key.
        points: Keys of the M lattice points, ascending, int64, (M,).
        dtype: Floating point type of the values to come.
    """
    num_points = len(points)
    index = torch.arange(num_points, device=points.device)
    ahead = torch.searchsorted(points, points + step).clamp_(max=num_points - 1)
    has_ahead = points[ahead] == points + step

    # An empty neighbour is stored as the point itself with weight zero.
    columns = index[:, None].repeat(1, 3)
    columns[:, 1] = torch.where(has_ahead, ahead, index)
    columns[ahead[has_ahead], 2] = index[has_ahead]
    weights = (columns != index[:, None]).to(dtype) / 2
    weights[:, 0] = 1
    return SparseMatrix.from_rows(columns, weights)
