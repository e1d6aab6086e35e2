"""The filters that each mode applies the pairwise kernels with."""

import math

import torch
from torch import Tensor

from autoseg.backends import Implementation
from autoseg.crf.exact import BruteForceBilateralFilter
from autoseg.crf.gaussian import TRUNCATION, GaussianFilter
from autoseg.crf.kernels import BilateralKernel, Kernel, SpatialKernel
from autoseg.crf.linear import LinearFilter
from autoseg.crf.local import WINDOW_RADIUS, LocalBilateralFilter
from autoseg.crf.native import NativePermutohedralFilter
from autoseg.crf.permutohedral import PermutohedralFilter
from autoseg.crf.pixels import pixel_colours, pixel_positions


def build_filter(
    kernel: Kernel, image: Tensor, *, mode: str, dtype: torch.dtype, implementation: Implementation
) -> LinearFilter:
    """Build the filter that applies a kernel to the pixels of an image.

    Args:
        kernel: The kernel; its weight is not used.
        image: uint8 or floating point, (3, H, W), colours 0 to 255.
        mode: One of `MODES`; docs/crf.md tells them apart.
        dtype: Floating point type of the values to come; they have the image's device.
        implementation: What applies a bilateral filter. "native" is for the lattice modes and
            float32 values on the CPU, "triton" for those and "exact" and float32 values on a
            CUDA device.

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
