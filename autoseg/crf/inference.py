"""Inference for one image: the pairwise terms built, then all updates."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from autoseg.crf.kernels import BilateralKernel, Implementation, Kernel, build_filter
from autoseg.crf.linear import Normalised
from autoseg.crf.mean_field import log_update, mean_field
from autoseg.crf.native import native_marginals
from autoseg.crf.recompute import recomputed_mean_field


@dataclass(frozen=True, kw_only=True, slots=True)
class Inference:
    """What is inferred for each image of a batch, and by which means."""

    mode: str
    """See `DenseCRF`, also for the next three."""
    normalisation: str
    num_iterations: int
    tolerance: float | None
    subsample_above: float | None
    """Of the compiled kernels without a gradient; see `DenseCRF`."""
    recompute: bool
    """Whether the gradient's memory does not grow with the number of updates."""
    as_logarithm: bool
    """Whether log Q is returned instead of Q."""

    def by_filters(
        self,
        logits: Tensor,
        image: Tensor,
        terms: Sequence[tuple[Kernel, Tensor]],
        compatibility: Tensor | None,
        implementation: Implementation,
    ) -> Tensor:
        """Infer update by update, with gradients and, by plain operators, in any precision.

        Args:
            logits: float32 or float64, (K, H, W).
            image: uint8 or floating point, (3, H, W), colours 0 to 255.
            terms: Kernels, each with its weight, no dimensions or (K,).
            compatibility: mu, symmetric, (K, K); None for Potts.
            implementation: What applies the bilateral filters.

        Returns:
            Q or log Q, (K, H, W).

        Raises:
            NotImplementedError: If the image is too large for the implementation.
            UsageError: If the deviations are too small for a lattice over an image of this size.
        """
        dtype = logits.dtype
        weighted = []
        with torch.no_grad():
            ones = logits.new_ones(logits[0].numel(), 1)
            for kernel, _ in terms:
                filter_ = build_filter(
                    kernel, image, mode=self.mode, dtype=dtype, implementation=implementation
                )
                weighted.append(Normalised(filter_, ones, self.normalisation))
        weighted = [
            (weight.to(dtype), filter_)
            for (_, weight), filter_ in zip(terms, weighted, strict=True)
        ]
        log_probabilities = F.log_softmax(logits.flatten(1), dim=0)
        compatibility = None if compatibility is None else compatibility.to(dtype)
        ends_in_logarithm = self.as_logarithm and self.num_iterations > 0
        marginals = (recomputed_mean_field if self.recompute else mean_field)(
            log_probabilities,
            weighted,
            num_iterations=self.num_iterations - ends_in_logarithm,
            compatibility=compatibility,
            tolerance=self.tolerance,
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
        implementation: Implementation,
    ) -> Tensor:
        """Infer with kernels for whole updates: float32, without gradients.

        Args:
            logits: float32; the others as in `by_filters`.
            image: As in `by_filters`.
            terms: As in `by_filters`.
            compatibility: As in `by_filters`.
            implementation: "native" or "triton".

        Raises:
            NotImplementedError: If the image is too large for the kernels.
        """
        weights = [weight.detach().float() for _, weight in terms]
        if implementation == "native":
            threshold = math.inf if self.subsample_above is None else self.subsample_above
            infer = functools.partial(native_marginals, subsample_above=threshold)
            image = (image if image.dtype == torch.uint8 else image.float()).contiguous()
            weights = [w.item() if w.ndim == 0 else w.contiguous() for w in weights]
        else:
            from autoseg.crf.triton_kernels import triton_marginals

            infer = triton_marginals
        bilateral, spatial = [], []
        for (kernel, _), weight in zip(terms, weights, strict=True):
            if isinstance(kernel, BilateralKernel):
                bilateral.append((weight, kernel.xy_std, kernel.rgb_std))
            else:
                spatial.append((weight, kernel.xy_std))
        marginals = infer(
            logits.detach().contiguous(),  # the softmax of logits is that of log probabilities
            image,
            bilateral=bilateral,
            spatial=spatial,
            compatibility=None if compatibility is None else compatibility.detach().float(),
            normalisation=self.normalisation,
            num_iterations=self.num_iterations,
            mode=self.mode,
            tolerance=self.tolerance,
        )
        if self.as_logarithm:  # subnormal numbers may have been rounded to 0
            return marginals.clamp_min(torch.finfo(torch.float32).tiny).log()
        return marginals
