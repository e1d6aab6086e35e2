"""The dense CRF as one operator, which torch.compile and torch.export keep as it is.

Inference cannot be traced: how large a lattice is depends on the colours of the image. As an
operator it is a single node of a graph, and on the meta device it has a shape and no values.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from autoseg.crf.dense_crf import DenseCRF
from autoseg.crf.inference import infer_batch
from autoseg.crf.settings import CRFConfig


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
    return _log_marginals(
        logits, images, crf.weights, crf.compatibility, crf.settings_text, num_iterations
    )


@torch.library.custom_op("autoseg::crf_log_marginals", mutates_args=())
def _log_marginals(
    logits: Tensor,
    images: Tensor,
    weights: Sequence[Tensor],
    compatibility: Tensor | None,
    settings: str,
    num_iterations: int,
) -> Tensor:
    """Infer; `settings` is `DenseCRF.settings_text`."""
    with torch.no_grad():
        return infer_batch(
            CRFConfig.from_json(settings).with_iterations(num_iterations),
            logits,
            images,
            weights=weights,
            compatibility=compatibility,
            as_logarithm=True,
        ).contiguous()


@_log_marginals.register_fake
def _(logits: Tensor, *_: object) -> Tensor:
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return logits.new_empty(logits.shape, dtype=dtype)
