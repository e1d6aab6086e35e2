"""Memory that inference needs, compared with what there is before any of it is taken."""

import sys
from collections.abc import Sequence

import torch

from autoseg.backends import Implementation
from autoseg.crf.kernels import LATTICE_MODES, BilateralKernel
from autoseg.crf.local import WINDOW_RADIUS
from autoseg.crf.memory_left import available_bytes
from autoseg.crf.settings import CRFConfig
from autoseg.errors import UsageError

_GIB = 2**30
_NEGLIGIBLE = 2**26
"""Bytes that are taken without asking what there is: asking takes time, which small images show."""
_CORNERS = 6
"""Lattice points around a pixel."""
_MOST_POINTS = {"fast": _CORNERS, "accurate": 10 * _CORNERS}
"""Lattice points for each pixel of noise, in which no two pixels share one."""
_POINT = 128
"""Bytes that compiled kernels take at most for a point, beside its row of numbers: its key, its
number, those of its neighbours, and tables to find it in."""


def least_bytes(
    shape: Sequence[int],
    *,
    dtype: torch.dtype,
    settings: CRFConfig,
    needs_gradient: bool,
    implementation: Implementation = "torch",
    in_one_call: bool = False,
) -> int:
    """Return the bytes that inference takes at the very least, beside its input.

    How many points a lattice has depends on the colours: what they take is counted when there are
    any (`check_lattice_memory`, and the compiled kernels themselves).

    Args:
        shape: Shape of the logits, (N, K, H, W).
        dtype: Type of the marginals.
        settings: The CRF's settings.
        needs_gradient: Whether updates keep their marginals, unless `settings.recompute`.
        implementation: What applies the filters.
        in_one_call: Whether it infers without filters, which keeps less.
    """
    num_images, num_classes, height, width = shape
    num_pixels = height * width
    values = num_classes * num_pixels * dtype.itemsize
    if in_one_call:
        total = values * (num_images + (num_images > 1))  # each image's Q, and all of them stacked
        if implementation == "triton":
            total += values  # Q in rows
    else:
        # Q, the scores and a message; with a gradient, Q of every update.
        total = values * (num_images + 3)
        if needs_gradient and not settings.recompute:
            total += values * num_images * settings.num_iterations
    if settings.mode in LATTICE_MODES:
        num_lattices = sum(isinstance(kernel, BilateralKernel) for kernel in settings.kernels)
        build, keep = _bytes_a_pixel(implementation, in_one_call, dtype)
        total += num_pixels * (build + num_lattices * keep)
    elif settings.mode == "local":
        total += num_pixels * ((2 * WINDOW_RADIUS + 1) ** 2 // 2) * dtype.itemsize
    return total


def _bytes_a_pixel(
    implementation: Implementation, in_one_call: bool, dtype: torch.dtype
) -> tuple[int, int]:
    """Return what a lattice takes for each pixel while it is built, and what it keeps."""
    if implementation == "native":
        # Features in float64; weights of 8 corners and the number of the simplex.
        return (0 if in_one_call else 5 * 8), 8 * 4 + 4
    # Of each corner: key, sorted key and order in int64; its point or pixel, and its weight, to
    # splat and to slice with. Triton's kernels keep the order as well.
    order = 4 if implementation == "triton" else 0
    return _CORNERS * 3 * 8, _CORNERS * (2 * (4 + dtype.itemsize) + order)


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


def check_lattice_memory(num_bytes: int, device: torch.device) -> None:
    """Refuse a lattice that cannot fit, now that its points are counted.

    Raises:
        UsageError: As `check_memory` does.
    """
    available = available_bytes(device) if num_bytes >= _NEGLIGIBLE else None
    if available is not None and num_bytes > available:
        raise lattice_shortage(num_bytes, available, device)


def check_closing_memory(num_points: int, num_axes: int, device: torch.device) -> None:
    """Refuse to close a lattice of so many points if their neighbours cannot fit.

    Raises:
        UsageError: As `check_memory` does.
    """
    # The neighbours along each axis, all of them in one list, and that list sorted; int64.
    num_neighbours = 2 * num_axes * num_points
    check_lattice_memory(8 * (3 * num_neighbours + 2 * num_points), device)


def lattice_shortage(num_bytes: int, available: int, device: torch.device) -> UsageError:
    """Build the error for a lattice that cannot fit, as that of many unlike colours may not.

    Args:
        num_bytes: What it needs, as far as that is known.
        available: Bytes that there were.
        device: Where.
    """
    return UsageError(
        "DenseCRF: the lattice over this image's positions and colours needs at least "
        f"{num_bytes / _GIB:.2f} GiB and {device} has {available / _GIB:.2f} GiB left; the more "
        "colours differ from pixel to pixel, the more it needs. Use images and logits at half the "
        "size, a larger bilateral_rgb_std, or an image with less noise."
    )


def allowed_bytes(num_pixels: int, num_channels: int, *, mode: str) -> int:
    """Return what the compiled kernels may take on the CPU for the lattices of an image.

    Args:
        num_pixels: P.
        num_channels: Numbers that are filtered at each pixel.
        mode: "fast" or "accurate".

    Returns:
        What there is; as many bytes as an integer can say where that is not known, or where the
        lattice is negligible whatever the colours.
    """
    points = num_pixels * _MOST_POINTS[mode]
    if points * (2 * 4 * num_channels + _POINT) < _NEGLIGIBLE:
        return sys.maxsize
    available = available_bytes(torch.device("cpu"))
    return sys.maxsize if available is None else available
