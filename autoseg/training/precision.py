"""Mixed precision."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from autoseg.errors import UsageError

Precision = Literal["auto", "fp32", "bf16"]
"""bf16 has the range of fp32, so that no loss scaling is needed."""


def resolve_precision(precision: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """Choose bf16 on a GPU that has it, and fp32 elsewhere, where "auto" is asked.

    Raises:
        UsageError: If bf16 is asked of a GPU without it.
    """
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    if precision == "auto":
        return "bf16" if has_bf16 else "fp32"
    if precision == "bf16" and device.type == "cuda" and not has_bf16:
        raise UsageError(f"--precision bf16: {device} has no bf16; use --precision fp32.")
    return precision


def autocast(precision: Literal["fp32", "bf16"], device: torch.device) -> AbstractContextManager:
    """Run convolutions and products in bf16 inside; in fp32 this changes nothing."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
