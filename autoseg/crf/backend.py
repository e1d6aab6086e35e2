"""The choice of what computes the dense CRF."""

import importlib.util
import warnings
from functools import cache
from typing import Literal, get_args

import torch

from autoseg._native import core, missing_reason, warn_if_missing
from autoseg.crf.kernels import LATTICE_MODES, Implementation
from autoseg.errors import UsageError, unknown_name

BackendName = Literal["auto", "torch", "fused"]
"""Plain operators ("torch"), fused kernels ("fused"), or the fastest at hand ("auto")."""

BACKENDS: tuple[BackendName, ...] = get_args(BackendName)

FUSED_MODES: dict[str, tuple[str, ...]] = {"cpu": LATTICE_MODES, "cuda": (*LATTICE_MODES, "exact")}
"""The modes that there are fused kernels for, by kind of device."""


def check_backend(name: str, *, mode: str) -> None:
    """Refuse an unknown back end, and fused kernels for a mode that has none on any device.

    Raises:
        UsageError: If so.
    """
    if name not in BACKENDS:
        raise unknown_name("DenseCRF backend", str(name), BACKENDS)
    if name == "fused" and not any(mode in modes for modes in FUSED_MODES.values()):
        raise UsageError(
            f"DenseCRF: there are no fused kernels for mode {mode!r}; use backend='auto' or "
            "'torch', or mode 'fast' or 'accurate'."
        )


def choose_implementation(
    name: str, *, mode: str, device_type: str, dtype: torch.dtype
) -> Implementation:
    """Choose what applies the filters.

    Args:
        name: The back end that was asked for.
        mode: Mode of the CRF.
        device_type: "cpu", "cuda", ...
        dtype: Type of the marginals.

    Warns:
        UserWarning: Once a process, if fused kernels would have been used but are missing.

    Raises:
        UsageError: If they were asked for and are not at hand.
    """
    if name == "torch":
        return "torch"
    has_kernels = mode in FUSED_MODES.get(device_type, ())
    if not has_kernels and name == "auto":
        return "torch"
    if device_type not in FUSED_MODES:
        reason = f"there are no fused kernels for {device_type}."
    elif not has_kernels:
        reason = f"there are no fused kernels for mode {mode!r} on this kind of device."
    elif dtype != torch.float32:
        reason = f"the fused kernels compute in float32, the logits are {dtype}."
    elif device_type == "cpu":
        if core() is not None:
            return "native"
        reason = f"the compiled kernels are missing. {missing_reason()}"
        if name == "auto":
            warn_if_missing("plain operators do the dense CRF's work, several times more slowly")
    else:
        reason = _why_no_triton()
        if reason is None:
            return "triton"
        if name == "auto":
            _warn_without_triton(reason)
    if name == "fused":
        raise UsageError(f"DenseCRF: backend 'fused' on {device_type}: {reason} Or use 'torch'.")
    return "torch"


def _why_no_triton() -> str | None:
    """Say why the Triton kernels cannot run; None if they can."""
    if torch.version.hip is not None:
        return "the Triton kernels are for NVIDIA devices and this torch is for AMD's."
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed (`pip install triton`)."
    return None


@cache
def _warn_without_triton(reason: str) -> None:
    warnings.warn(
        f"{reason} Plain operators do the dense CRF's work on the GPU, more slowly.", stacklevel=2
    )
