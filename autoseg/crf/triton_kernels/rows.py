# pyright: reportMissingImports=false, reportArgumentType=false, reportGeneralTypeIssues=false
# Triton compiles these functions; they are Python by their grammar, not by their types.
"""Rows: the values of all labels at a pixel, a lattice point or a cell, side by side.

A table of rows is (R, PITCH), float32: K labels and zeros up to the next multiple of four, so that
every row starts where a load of 16 bytes may.
"""

from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

LARGEST_BLOCK = 32
"""Labels that a program takes at a time, where it needs no sum over them."""


def pitch_of(num_labels: int) -> int:
    """Return the length of a row."""
    return -(-num_labels // 4) * 4


def to_rows(values: Tensor) -> Tensor:
    """(R, K) -> (R, PITCH), contiguous."""
    return F.pad(values, (0, pitch_of(values.shape[1]) - values.shape[1])).contiguous()


def label_blocks(pitch: int) -> tuple[int, int]:
    """Return how many blocks of labels a row is cut into, and the labels of a block."""
    block = min(triton.next_power_of_2(pitch), LARGEST_BLOCK)
    return triton.cdiv(pitch, block), block


def launch(
    kernel: Any, grid: tuple[int, ...], tensor: Tensor, *rest: Any, **constants: Any
) -> None:
    """Start a kernel on the device of its first argument."""
    if 0 not in grid:
        with torch.cuda.device_of(tensor):
            kernel[grid](tensor, *rest, **constants, enable_fp_fusion=True)


@triton.jit
def row_cells(numbers, labels, PITCH: tl.constexpr):
    """Offsets of rows' values, (R, L): 64 bits, since a table may have more than 2^31 values."""
    return numbers.to(tl.int64)[:, None] * PITCH + labels[None, :]


@triton.jit
def load_rows(table, numbers, present, labels, PITCH: tl.constexpr):
    """Load rows, (R, L); zero where a row is not present or the labels end."""
    mask = present[:, None] & (labels < PITCH)[None, :]
    return tl.load(table + row_cells(numbers, labels, PITCH), mask=mask, other=0.0)


@triton.jit
def store_rows(table, numbers, values, present, labels, PITCH: tl.constexpr):
    """Store rows (R, L)."""
    mask = present[:, None] & (labels < PITCH)[None, :]
    tl.store(table + row_cells(numbers, labels, PITCH), values, mask=mask)
