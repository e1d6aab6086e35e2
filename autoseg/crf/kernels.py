"""The Gaussian kernels of the pairwise terms, and the filters that each mode applies them with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from autoseg.crf.exact import BruteForceBilateralFilter
from autoseg.crf.gaussian import TRUNCATION, GaussianFilter
from autoseg.crf.linear import LinearFilter
from autoseg.crf.local import WINDOW_RADIUS, LocalBilateralFilter
from autoseg.crf.native import NativePermutohedralFilter
from autoseg.crf.permutohedral import PermutohedralFilter
from autoseg.crf.pixels import pixel_colours, pixel_positions
from autoseg.errors import UsageError

MODES = ("fast", "accurate", "exact", "local")
"""How a `DenseCRF` can apply its kernels."""

LATTICE_MODES = ("fast", "accurate")
"""The modes that take the permutohedral lattice."""

Implementation = Literal["torch", "native", "triton"]
"""Plain operators, the compiled kernels for CPUs or the Triton kernels for NVIDIA devices."""

Weight = float | Sequence[float]
"""The weight of a kernel: one for all classes, or one for each of the K classes."""

SMALLEST_STD = 1e-6
"""Below it, squares and numbers of lattice cells leave the range of their types."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BilateralKernel:
    """k(i, j) = exp(-|p_i - p_j|^2 / (2 xy_std^2) - |I_i - I_j|^2 / (2 rgb_std^2))."""

    weight: Weight
    """Factor of its messages, no unit, >= 0; one for all classes or one for each."""
    xy_std: float
    """Standard deviation over positions, pixels."""
    rgb_std: float
    """Standard deviation over colours, in units of 0 to 255."""

    def __post_init__(self) -> None:
        check_std("BilateralKernel: xy_std", self.xy_std)
        check_std("BilateralKernel: rgb_std", self.rgb_std)
        check_weight("BilateralKernel: weight", self.weight)


@dataclass(frozen=True, kw_only=True, slots=True)
class SpatialKernel:
    """k(i, j) = exp(-|p_i - p_j|^2 / (2 xy_std^2))."""

    weight: Weight
    """Factor of its messages, no unit, >= 0; one for all classes or one for each."""
    xy_std: float
    """Standard deviation over positions, pixels."""

    def __post_init__(self) -> None:
        check_std("SpatialKernel: xy_std", self.xy_std)
        check_weight("SpatialKernel: weight", self.weight)


Kernel = BilateralKernel | SpatialKernel


def build_filter(
    kernel: Kernel, image: Tensor, *, mode: str, dtype: torch.dtype, implementation: Implementation
) -> LinearFilter:
    """Build the filter that applies a kernel to the pixels of an image.

    Args:
        kernel: The kernel; its weight is not used.
        image: uint8 or floating point, (3, H, W), colours 0 to 255.
        mode: See `DenseCRF`.
        dtype: Floating point type of the values to come; they have the image's device.
        implementation: Of a bilateral filter. "native" is for the lattice modes and float32
            values on the CPU, "triton" for those and "exact" and float32 values on a CUDA device.

    Raises:
        NotImplementedError: If the image is too large for the implementation.
        UsageError: If the deviations are too small for a lattice over an image of this size.
    """
    if isinstance(kernel, SpatialKernel):
        return _spatial_filter(kernel, image, mode, dtype)
    if implementation == "triton" and mode != "local":
        return _triton_filter(kernel, image, mode)
    if mode == "exact":
        return BruteForceBilateralFilter(
            image, xy_std=kernel.xy_std, rgb_std=kernel.rgb_std, dtype=dtype
        )
    if mode == "local":
        return LocalBilateralFilter(
            image, xy_std=kernel.xy_std, rgb_std=kernel.rgb_std, radius=WINDOW_RADIUS, dtype=dtype
        )
    features = torch.cat(
        [
            pixel_positions(image).double() / kernel.xy_std,
            pixel_colours(image).double() / kernel.rgb_std,
        ],
        dim=1,
    )
    if implementation == "native":
        return NativePermutohedralFilter(features, mode == "accurate", dtype)
    return PermutohedralFilter(features, dtype=dtype, closed=mode == "accurate")


def _triton_filter(kernel: BilateralKernel, image: Tensor, mode: str) -> LinearFilter:
    from autoseg.crf.triton_kernels import TritonBruteForceFilter, TritonPermutohedralFilter

    if mode == "exact":
        return TritonBruteForceFilter(image, xy_std=kernel.xy_std, rgb_std=kernel.rgb_std)
    return TritonPermutohedralFilter(
        image, xy_std=kernel.xy_std, rgb_std=kernel.rgb_std, closed=mode == "accurate"
    )


def _spatial_filter(
    kernel: SpatialKernel, image: Tensor, mode: str, dtype: torch.dtype
) -> GaussianFilter:
    """Cut the Gaussian off nowhere (exact), at the window (local) or where nothing is left."""
    truncation = TRUNCATION
    if mode == "exact":
        truncation = math.inf
    elif mode == "local":
        # Half a pixel less, so that rounding up gives the radius whatever the quotient rounds to.
        truncation = min(TRUNCATION, (WINDOW_RADIUS - 0.5) / kernel.xy_std)
    height, width = image.shape[-2:]
    return GaussianFilter(
        height, width, std=kernel.xy_std, truncation=truncation, dtype=dtype, device=image.device
    )


def check_std(name: str, std: float) -> None:
    """Refuse a standard deviation that is no positive, finite number.

    Raises:
        UsageError: If so; the message starts with `name`.
    """
    if not 0 < std < math.inf:
        raise UsageError(f"{name} is {std}; it must be finite and above 0.")
    if std < SMALLEST_STD:
        raise UsageError(
            f"{name} is {std}; below {SMALLEST_STD} a pixel has no neighbours: to turn the term "
            "off, set its weight to 0."
        )


def check_weight(name: str, weight: Weight) -> None:
    """Refuse weights that are negative or not finite, and a sequence of none.

    Raises:
        UsageError: If so; the message starts with `name`.
    """
    values = list(weight) if isinstance(weight, Sequence) else [weight]
    if not values or not all(0 <= value < math.inf for value in values):
        raise UsageError(
            f"{name} is {weight}; it must be finite and not negative (0 turns the term off), one "
            "number for all classes or a sequence of one for each class."
        )
