"""The choice of what evaluates the source operations."""

import importlib.util
from functools import cache
from typing import Literal, NamedTuple, get_args

import torch

from autoseg._native import core, missing_reason
from autoseg.config import BackendName
from autoseg.errors import UsageError, unknown_name
from autoseg.supernet.fused_cell import SourceKernels

BACKENDS: tuple[BackendName, ...] = get_args(BackendName)


class Backend(NamedTuple):
    """A back end that is at hand."""

    name: Literal["torch", "fused"]
    kernels: SourceKernels | None
    """None for "torch"."""
    reason: str
    """Why it was taken, for people."""


@cache
def resolve_backend(name: BackendName, device_type: str) -> Backend:
    """Find the back end for a kind of device.

    Args:
        name: What was asked for.
        device_type: "cpu", "cuda", ...

    Raises:
        UsageError: If the name is unknown, or "fused" was asked for and is not at hand.
    """
    if name not in BACKENDS:
        raise unknown_name("backend", name, BACKENDS)
    if name == "torch":
        return Backend("torch", None, "asked for")
    kernels, reason = _fused_kernels(device_type)
    if kernels is not None:
        return Backend("fused", kernels, reason)
    if name == "fused":
        raise UsageError(f"backend 'fused' on {device_type}: {reason} Or use --backend torch.")
    return Backend("torch", None, reason)


def _fused_kernels(device_type: str) -> tuple[SourceKernels | None, str]:
    if device_type == "cpu":
        module = core()
        if module is None:
            cost = "the compiled kernels are missing, so a step takes several times as long."
            return None, f"{cost} {missing_reason()}"
        from autoseg.supernet.native import NativeSourceKernels

        return NativeSourceKernels(), f"compiled C++ kernels for {module.isa()}"
    if device_type == "cuda":
        if importlib.util.find_spec("triton") is None:
            return None, "Triton is not installed (`pip install triton`), so a step takes longer."
        from autoseg.supernet.triton_kernels import TritonSourceKernels

        return TritonSourceKernels(), f"Triton kernels for {torch.cuda.get_device_name()}"
    return None, f"there are no fused kernels for {device_type}."
