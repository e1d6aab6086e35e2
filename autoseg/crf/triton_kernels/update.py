# pyright: reportMissingImports=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportAssignmentType=false, reportOperatorIssue=false, reportCallIssue=false
# Triton compiles these functions; they are Python by their grammar, not by their types.
"""One update of the marginals: all messages, the unary term and the softmax in one kernel."""

from collections.abc import Sequence
from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from autoseg.crf.triton_kernels.lattice import slice_rows
from autoseg.crf.triton_kernels.rows import launch, pitch_of
from autoseg.crf.triton_kernels.spatial import load_message

_ELEMENTS = 2048
"""Pixels times labels of a program."""


class LatticeMessage(NamedTuple):
    """A message on the points of a lattice."""

    table: Tensor
    """(M, PITCH)."""
    points: Tensor
    """Row of the table that each corner of each pixel reads, int32, (6, P)."""
    weights: Tensor
    """Barycentric times a, the factor after the filter, float32, (6, P)."""
    label_weights: Tensor
    """Factor of each label, float32, (PITCH,)."""


class GridMessage(NamedTuple):
    """A message at the pixels, or on cells of 2 x 2 pixels."""

    table: Tensor
    """Filtered values, as `TritonSpatialFilter.message` returns them."""
    over_rows: Tensor
    """a of each row, float32, (H,)."""
    over_columns: Tensor
    """a of each column, float32, (W,)."""
    label_weights: Tensor
    """Factor of each label, float32, (PITCH,)."""
    cell_side: int
    """1, or 2 for cells."""


Message = LatticeMessage | GridMessage


def update_(
    logits: Tensor,
    messages: Sequence[Message],
    marginals: Tensor,
    *,
    in_rows: bool,
    changes: Tensor | None = None,
) -> None:
    """Write softmax(logits + messages).

    Args:
        logits: float32, (K, H, W), contiguous.
        messages: Messages that the marginals so far send, any number of them.
        marginals: Written: rows, (P, PITCH), or (K, H, W), contiguous.
        in_rows: Which of the two.
        changes: If given, the largest change that each program made to `marginals` is written to
            it, (`num_programs`,).
    """
    num_labels, height, width = logits.shape
    num_pixels = height * width
    lattices = [message for message in messages if isinstance(message, LatticeMessage)]
    grids = [message for message in messages if isinstance(message, GridMessage)]
    block_l = _label_block(num_labels)
    launch(
        update_kernel, (num_programs(num_labels, num_pixels),),
        logits, tuple(tuple(x) for x in lattices), tuple(tuple(x[:-1]) for x in grids), marginals,
        marginals if changes is None else changes, num_pixels, num_labels, width,
        CELL_SIDES=tuple(x.cell_side for x in grids), PITCH=pitch_of(num_labels), IN_ROWS=in_rows,
        HAS_CHANGES=changes is not None, BLOCK=_ELEMENTS // block_l or 1, BLOCK_L=block_l,
    )  # fmt: skip


def num_programs(num_labels: int, num_pixels: int) -> int:
    """Return how many programs an update has."""
    return triton.cdiv(num_pixels, _ELEMENTS // _label_block(num_labels) or 1)


def _label_block(num_labels: int) -> int:
    return max(triton.next_power_of_2(num_labels), 4)


@triton.jit(do_not_specialize=["num_pixels", "num_labels", "width"])
def update_kernel(
    logits,
    lattices,
    grids,
    marginals,
    changes,
    num_pixels,
    num_labels,
    width,
    CELL_SIDES: tl.constexpr,
    PITCH: tl.constexpr,
    IN_ROWS: tl.constexpr,
    HAS_CHANGES: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    """Q(i) = softmax(-U(i) + sum_m w_m (K_m Q)(i)); grid (blocks of pixels,).

    -U is taken as the logits less the largest of each pixel: messages are small beside large
    logits, and a constant drops out of the softmax.
    """
    pixels = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    present = pixels < num_pixels
    labels = tl.arange(0, BLOCK_L)
    is_label = (labels < num_labels)[None, :]
    mask = present[:, None] & is_label

    by_label = labels.to(tl.int64)[None, :] * num_pixels + pixels[:, None]
    scores = tl.load(logits + by_label, mask=mask, other=0.0)
    scores = tl.where(is_label, scores, -float("inf"))
    scores -= tl.max(scores, axis=1)[:, None]
    for number in tl.static_range(len(lattices)):
        table, points, weights, label_weights = lattices[number]
        message = slice_rows(table, points, weights, pixels, present, labels, num_pixels, PITCH)
        scores += tl.load(label_weights + labels, mask=labels < PITCH, other=0.0)[None, :] * message
    for number in tl.static_range(len(grids)):
        table, over_rows, over_columns, label_weights = grids[number]
        message = load_message(
            table, over_rows, over_columns, pixels, present, labels, width,
            CELL_SIDES[number], PITCH,
        )  # fmt: skip
        scores += tl.load(label_weights + labels, mask=labels < PITCH, other=0.0)[None, :] * message

    powers = tl.exp(scores - tl.max(scores, axis=1)[:, None])
    result = powers / tl.sum(powers, axis=1)[:, None]
    if IN_ROWS:
        cells = pixels.to(tl.int64)[:, None] * PITCH + labels[None, :]
        mask = present[:, None] & (labels < PITCH)[None, :]  # zeros behind the last label
    else:
        cells = by_label
    if HAS_CHANGES:
        previous = tl.load(marginals + cells, mask=mask, other=0.0)
        change = tl.where(mask, tl.abs(result - previous), 0.0)
        tl.store(changes + tl.program_id(0), tl.max(tl.max(change, axis=1), axis=0))
    tl.store(marginals + cells, result, mask=mask)
