"""Precision of convolutions and products: fp32, TF32, or mixed with bf16."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch

from autoseg.config import Precision
from autoseg.errors import UsageError

ResolvedPrecision = Literal["fp32", "tf32", "bf16"]
"""What "auto" has been resolved to."""


def resolve_precision(precision: Precision, device: torch.device) -> ResolvedPrecision:
    """Choose bf16 on a GPU that has it, and fp32 elsewhere, where "auto" is asked.

    Raises:
        UsageError: If bf16 or TF32 is asked of a GPU without it, or TF32 of another device.
    """
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    if precision == "auto":
        return "bf16" if has_bf16 else "fp32"
    if precision == "bf16" and device.type == "cuda" and not has_bf16:
        raise UsageError(f"--precision bf16: {device} has no bf16; use --precision fp32.")
    if precision == "tf32" and not (device.type == "cuda" and torch.cuda.is_tf32_supported()):
        raise UsageError(
            f"--precision tf32: {device} has no TF32, which NVIDIA GPUs have from Ampere on; "
            "use --precision fp32."
        )
    return precision


def autocast(precision: ResolvedPrecision, device: torch.device) -> AbstractContextManager:
    """Run convolutions and products in bf16 inside; in fp32 and TF32 this changes nothing.

    For the forward pass and the loss alone: the backward pass follows by itself.
    """
    if precision != "bf16":
        return nullcontext()
    # No cache of weights cast to bf16: each is read once a pass, and a cached one could outlive the
    # CUDA graph that it was computed in.
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)


@contextmanager
def tensor_float(precision: ResolvedPrecision) -> Iterator[None]:
    """Switch TF32 on inside for "tf32" and off for "fp32"; set back what was there afterwards.

    For the whole step, unlike `autocast`: the backward pass asks for the settings when it runs.
    "fp32" needs it too, because torch by itself lets cuDNN's convolutions use TF32. Settings of the
    process, not of a device; they change nothing on the CPU. A CUDA graph keeps those of its
    capture.
    """
    if precision == "bf16":
        yield
        return
    # torch's newer settings alone: mixed with `allow_tf32`, reading either raises.
    settings = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # pyright: ignore[reportAttributeAccessIssue]
    before = [setting.fp32_precision for setting in settings]
    for setting in settings:
        setting.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value
