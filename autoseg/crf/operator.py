"""The dense CRF as one operator, which torch.compile and torch.export keep as it is.

Inference cannot be traced: how large a lattice is depends on the colours of the image. As an
operator it is a single node of a graph, and on the meta device it has a shape and no values.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autoseg.crf.dense_crf import DenseCRF
from autoseg.crf.kernels import BilateralKernel, Kernel, SpatialKernel, Weight


def log_marginals_as_operator(
    crf: DenseCRF, logits: Tensor, images: Tensor, *, num_iterations: int
) -> Tensor:
    """Do as `DenseCRF.log_marginals`, without a gradient, in a form that can be traced.

    A graph that holds the operator runs where autoseg is installed, and in no other runtime: it
    cannot become ONNX.

    Args:
        crf: The CRF.
        logits: (N, K, H, W).
        images: RGB from 0 to 255, (N, 3, H, W).
        num_iterations: Updates.

    Returns:
        log Q, (N, K, H, W); float64 for float64 logits, else float32. It has no gradient: to go
        back through it is refused.

    Raises:
        UsageError: As `DenseCRF.log_marginals` does, when the operator runs.
    """
    weights = [crf.bilateral_weight, crf.spatial_weight, *crf.additional_weights]
    stds = []
    for kernel in crf.kernels:
        stds += [kernel.xy_std, kernel.rgb_std if isinstance(kernel, BilateralKernel) else 0.0]
    return _log_marginals(
        logits,
        images,
        weights,
        crf.compatibility,
        stds,
        num_iterations,
        crf.mode,
        crf.normalisation,
        crf.tolerance,
        crf.backend,
    )


# An operator takes tensors and plain values alone, so the CRF is taken apart and built again.
@torch.library.custom_op("autoseg::crf_log_marginals", mutates_args=())
def _log_marginals(
    logits: Tensor,
    images: Tensor,
    weights: Sequence[Tensor],
    compatibility: Tensor | None,
    stds: Sequence[float],
    num_iterations: int,
    mode: str,
    normalisation: str,
    tolerance: float | None,
    backend: str,
) -> Tensor:
    """Infer; `stds` holds xy_std and rgb_std of each kernel, an rgb_std of 0 if it has none."""
    # What is learnt is put in afterwards: it may be negative, and of any precision.
    kernels = [
        _kernel(0.0 if weight.ndim == 0 else [0.0] * len(weight), xy_std, rgb_std)
        for weight, xy_std, rgb_std in zip(weights, stds[::2], stds[1::2], strict=True)
    ]
    bilateral, spatial, *additional = kernels
    assert isinstance(bilateral, BilateralKernel)
    crf = DenseCRF(
        bilateral_weight=bilateral.weight,
        bilateral_xy_std=bilateral.xy_std,
        bilateral_rgb_std=bilateral.rgb_std,
        spatial_weight=spatial.weight,
        spatial_xy_std=spatial.xy_std,
        num_iterations=num_iterations,
        mode=mode,
        normalisation=normalisation,
        compatibility=compatibility,
        additional_kernels=additional,
        tolerance=tolerance,
        backend=backend,
    )
    learnt = [nn.Parameter(weight, requires_grad=False) for weight in weights]
    crf.bilateral_weight, crf.spatial_weight, *additional_weights = learnt
    crf.additional_weights = nn.ParameterList(additional_weights)
    if compatibility is not None:
        crf.compatibility = nn.Parameter(compatibility, requires_grad=False)
    with torch.no_grad():
        return crf.log_marginals(logits, images).contiguous()


@_log_marginals.register_fake
def _(logits: Tensor, *_: object) -> Tensor:
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return logits.new_empty(logits.shape, dtype=dtype)


def _kernel(weight: Weight, xy_std: float, rgb_std: float) -> Kernel:
    if rgb_std == 0:
        return SpatialKernel(weight=weight, xy_std=xy_std)
    return BilateralKernel(weight=weight, xy_std=xy_std, rgb_std=rgb_std)
