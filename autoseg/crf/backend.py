"""The choice of what computes the dense CRF."""

from typing import Literal, get_args

import torch

from autoseg._native import core, missing_reason, warn_if_missing
from autoseg.crf.kernels import LATTICE_MODES
from autoseg.errors import UsageError, unknown_name

BackendName = Literal["auto", "torch", "fused"]
"""Plain operators ("torch"), compiled kernels ("fused"), or the fastest at hand ("auto")."""

BACKENDS: tuple[BackendName, ...] = get_args(BackendName)


def check_backend(name: str, *, mode: str) -> None:
    """Refuse an unknown back end, and compiled kernels for a mode that has none.

    Raises:
        UsageError: If so.
    """
    if name not in BACKENDS:
        raise unknown_name("DenseCRF backend", name, BACKENDS)
    if name == "fused" and mode not in LATTICE_MODES:
        raise UsageError(
            f"DenseCRF: there are no fused kernels for mode {mode!r}; use backend='auto' or "
            "'torch', or mode 'fast' or 'accurate'."
        )


def use_fused(name: str, *, mode: str, device_type: str, dtype: torch.dtype) -> bool:
    """Say whether compiled kernels are to be used.

    Args:
        name: The back end that was asked for.
        mode: Mode of the CRF.
        device_type: "cpu", "cuda", ...
        dtype: Type of the marginals.

    Warns:
        UserWarning: Once a process, if they would have been used but are missing.

    Raises:
        UsageError: If they were asked for and are not at hand.
    """
    if name == "torch" or mode not in LATTICE_MODES:
        return False
    if dtype != torch.float32:
        reason = f"the compiled kernels compute in float32, the logits are {dtype}."
    elif device_type == "cpu":
        if hasattr(core(), "crf_marginals"):
            return True
        stale = "They are of an older version: install autoseg again."
        reason = f"the compiled kernels are missing. {missing_reason() or stale}"
    else:
        reason = f"there are no fused kernels for {device_type}."
    if name == "fused":
        raise UsageError(f"DenseCRF: backend 'fused' on {device_type}: {reason} Or use 'torch'.")
    if device_type == "cpu" and dtype == torch.float32:
        warn_if_missing("plain operators do the dense CRF's work, several times more slowly")
    return False
