"""Inference for a batch: inputs checked, means chosen, then image by image all updates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from autoseg.backends import Implementation
from autoseg.crf.backend import choose_implementation
from autoseg.crf.filters import build_filter
from autoseg.crf.inputs import check_finite, check_inputs
from autoseg.crf.kernels import Kernel
from autoseg.crf.linear import Normalised
from autoseg.crf.mean_field import log_update, mean_field
from autoseg.crf.memory import check_memory, least_bytes
from autoseg.crf.native import native_marginals
from autoseg.crf.recompute import recomputed_mean_field
from autoseg.crf.settings import CRFConfig
from autoseg.errors import UsageError


def infer_batch(
    settings: CRFConfig,
    logits: Tensor,
    images: Tensor,
    *,
    weights: Sequence[Tensor],
    compatibility: Tensor | None,
    as_logarithm: bool,
) -> Tensor:
    """Infer the marginals of each image, as `DenseCRF` describes it.

    Args:
        settings: The CRF's settings. Their weights and compatibility are those it began with.
        logits: (N, K, H, W).
        images: RGB from 0 to 255, (N, 3, H, W).
        weights: Present weights, one of each kernel, no dimensions or (K,).
        compatibility: Present mu, (K, K); None for Potts.
        as_logarithm: Whether log Q is returned instead of Q.

    Returns:
        Q or log Q, (N, K, H, W); float64 for float64 logits, else float32.

    Raises:
        UsageError: As `DenseCRF.forward` says.
    """
    check_inputs(logits, images, weights_device=weights[0].device)
    _check_num_classes(logits, weights, compatibility)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    implementation = choose_implementation(
        settings.backend, mode=settings.mode, device_type=logits.device.type, dtype=dtype
    )
    learnt = [*weights] if compatibility is None else [*weights, compatibility]
    needs_gradient = torch.is_grad_enabled() and any(
        tensor.requires_grad for tensor in (logits, *learnt)
    )
    in_one_call = implementation != "torch" and not needs_gradient
    needed = least_bytes(
        logits.shape,
        dtype=dtype,
        settings=settings,
        needs_gradient=needs_gradient,
        implementation=implementation,
        in_one_call=in_one_call,
    )
    check_memory(needed, logits.device, needs_gradient=needs_gradient)
    sees_finite = in_one_call and implementation == "native"  # as it reads them
    if not sees_finite:
        check_finite(logits)
    inference = Inference(
        settings=settings, implementation=implementation, as_logarithm=as_logarithm
    )
    infer = inference.in_one_call if in_one_call else inference.by_filters
    terms = list(zip(settings.kernels, weights, strict=True))
    if compatibility is not None:
        compatibility = (compatibility + compatibility.t()) / 2
    # Autocast would round the messages to half precision.
    with torch.autocast(logits.device.type, enabled=False):
        try:
            marginals = [
                _infer_image(inference, infer, scores.to(dtype), image, terms, compatibility)
                for scores, image in zip(logits, images, strict=True)
            ]
        except FloatingPointError:
            check_finite(logits)  # says where
            raise
        return torch.stack(marginals) if len(marginals) > 1 else marginals[0][None]


def _infer_image(
    inference: "Inference",
    infer: Callable[..., Tensor],
    logits: Tensor,
    image: Tensor,
    terms: Sequence[tuple[Kernel, Tensor]],
    compatibility: Tensor | None,
) -> Tensor:
    """Infer the marginals (K, H, W) of one image (3, H, W) from its logits (K, H, W)."""
    try:
        return infer(logits, image, terms, compatibility)
    except NotImplementedError as error:  # an image too large for the kernels' integers
        if inference.settings.backend == "fused":
            raise UsageError(f"DenseCRF: {error} Use backend='torch'.") from None
        if not torch.isfinite(logits).all():
            raise FloatingPointError from None
        return inference.with_plain_operators().by_filters(logits, image, terms, compatibility)


def _check_num_classes(
    logits: Tensor, weights: Sequence[Tensor], compatibility: Tensor | None
) -> None:
    num_classes = [len(weight) for weight in weights if weight.ndim == 1]
    if compatibility is not None:
        num_classes.append(len(compatibility))
    if num_classes and num_classes[0] != logits.shape[1]:
        raise UsageError(
            f"DenseCRF: logits of shape {tuple(logits.shape)} have {logits.shape[1]} classes; "
            f"this CRF's weights or compatibility are for {num_classes[0]}."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Inference:
    """What is inferred for each image of a batch, and by which means."""

    settings: CRFConfig
    """The CRF's settings."""
    implementation: Implementation
    """What applies the bilateral filters or, in one call, does everything."""
    as_logarithm: bool
    """Whether log Q is returned instead of Q."""

    def with_plain_operators(self) -> "Inference":
        """Return the same inference by plain operators, which have no limit of size."""
        return Inference(
            settings=self.settings, implementation="torch", as_logarithm=self.as_logarithm
        )

    def by_filters(
        self,
        logits: Tensor,
        image: Tensor,
        terms: Sequence[tuple[Kernel, Tensor]],
        compatibility: Tensor | None,
    ) -> Tensor:
        """Infer update by update, with gradients and, by plain operators, in any precision.

        Args:
            logits: float32 or float64, (K, H, W).
            image: uint8 or floating point, (3, H, W), colours 0 to 255.
            terms: Kernels, each with its weight, no dimensions or (K,).
            compatibility: mu, symmetric, (K, K); None for Potts.

        Returns:
            Q or log Q, (K, H, W).

        Raises:
            NotImplementedError: If the image is too large for the implementation.
            UsageError: If the deviations are too small for a lattice over an image of this size.
        """
        settings, dtype = self.settings, logits.dtype
        weighted = []
        with torch.no_grad():
            ones = logits.new_ones(logits[0].numel(), 1)
            for kernel, weight in terms:
                filter_ = build_filter(
                    kernel,
                    image,
                    mode=settings.mode,
                    dtype=dtype,
                    implementation=self.implementation,
                )
                weighted.append((weight, Normalised(filter_, ones, settings.normalisation)))
        weighted = [(weight.to(dtype), filter_) for weight, filter_ in weighted]
        log_probabilities = F.log_softmax(logits.flatten(1), dim=0)
        compatibility = None if compatibility is None else compatibility.to(dtype)
        ends_in_logarithm = self.as_logarithm and settings.num_iterations > 0
        is_recomputed = settings.recompute and torch.is_grad_enabled()
        marginals = (recomputed_mean_field if is_recomputed else mean_field)(
            log_probabilities,
            weighted,
            num_iterations=settings.num_iterations - ends_in_logarithm,
            compatibility=compatibility,
            tolerance=settings.tolerance,
        )
        if ends_in_logarithm:
            marginals = log_update(log_probabilities, marginals, weighted, compatibility)
        elif self.as_logarithm:
            marginals = log_probabilities
        return marginals.view_as(logits)

    def in_one_call(
        self,
        logits: Tensor,
        image: Tensor,
        terms: Sequence[tuple[Kernel, Tensor]],
        compatibility: Tensor | None,
    ) -> Tensor:
        """Infer with kernels for whole updates: float32, without gradients.

        Args:
            logits: float32, (K, H, W).
            image: uint8 or floating point, (3, H, W), colours 0 to 255.
            terms: Kernels, each with its weight, no dimensions or (K,).
            compatibility: mu, symmetric, (K, K); None for Potts.

        Raises:
            NotImplementedError: If the image is too large for the kernels.
        """
        if self.implementation == "native":
            infer = native_marginals
            image = (image if image.dtype == torch.uint8 else image.float()).contiguous()
        else:
            from autoseg.crf.triton_kernels import triton_marginals

            infer = triton_marginals
        marginals = infer(
            logits.detach().contiguous(),  # the softmax of logits is that of log probabilities
            image,
            [(kernel, weight.detach().float()) for kernel, weight in terms],
            compatibility=None if compatibility is None else compatibility.detach().float(),
            settings=self.settings,
        )
        if self.as_logarithm:  # subnormal numbers may have been rounded to 0
            return marginals.clamp_min(torch.finfo(torch.float32).tiny).log()
        return marginals
