"""Memory that inference needs, compared with what there is before any of it is taken."""

import re
from collections.abc import Sequence
from pathlib import Path

import torch

from autoseg.crf.kernels import LATTICE_MODES, Implementation
from autoseg.crf.local import WINDOW_RADIUS
from autoseg.crf.settings import CRFSettings
from autoseg.errors import UsageError

_GIB = 2**30
_NEGLIGIBLE = 2**26
"""Bytes that are taken without asking what there is: asking takes time, which small images show."""
_MEMORY_INFO = Path("/proc/meminfo")


def least_bytes(
    shape: Sequence[int],
    *,
    dtype: torch.dtype,
    settings: CRFSettings,
    needs_gradient: bool,
    in_one_call: Implementation | None = None,
) -> int:
    """Return the bytes that inference takes at the very least, beside its input.

    Args:
        shape: Of the logits, (N, K, H, W).
        dtype: Type of the marginals.
        settings: Of the CRF.
        needs_gradient: Whether updates keep their marginals, unless `settings.recompute`.
        in_one_call: The fused kernels that infer; None for filters, update by update.
    """
    num_images, num_classes, height, width = shape
    num_pixels = height * width
    values = num_classes * num_pixels * dtype.itemsize
    if in_one_call is not None:
        total = values * (num_images + (num_images > 1))  # each image's Q, and all of them stacked
        if in_one_call == "triton":
            total += values  # Q in rows
            if settings.mode in LATTICE_MODES:
                total += num_pixels * 6 * 3 * 8  # six corners a pixel: key, sorted key, order
        return total
    # Q, the scores and a message; with a gradient, Q of every update.
    total = values * (num_images + 3)
    if needs_gradient and not settings.recompute:
        total += values * num_images * settings.num_iterations
    if settings.mode in LATTICE_MODES:
        # Six corners a pixel: key, sorted key and order in int64, index and weight twice.
        total += num_pixels * 6 * (3 * 8 + 2 * (4 + dtype.itemsize))
    elif settings.mode == "local":
        total += num_pixels * ((2 * WINDOW_RADIUS + 1) ** 2 // 2) * dtype.itemsize
    return total


def available_bytes(device: torch.device) -> int | None:
    """Return what can still be allocated on a device; None where that is not known."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + held
    if device.type == "cpu" and _MEMORY_INFO.is_file():
        found = re.search(r"^MemAvailable:\s+(\d+) kB", _MEMORY_INFO.read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else None
    return None


def check_memory(num_bytes: int, device: torch.device, *, needs_gradient: bool) -> None:
    """Refuse what cannot fit.

    Raises:
        UsageError: If more bytes are needed than the device has left; fewer than 64 MiB are not
            asked about.
    """
    if num_bytes < _NEGLIGIBLE:
        return
    available = available_bytes(device)
    if available is None or num_bytes <= available:
        return
    remedy = "fewer images at a time, or images and logits at half the size"
    if needs_gradient:
        remedy = f"torch.no_grad() if no gradient is wanted, recompute=True if one is, {remedy}"
    raise UsageError(
        f"DenseCRF: this needs at least {num_bytes / _GIB:.2f} GiB and {device} has "
        f"{available / _GIB:.2f} GiB left; use {remedy}."
    )
