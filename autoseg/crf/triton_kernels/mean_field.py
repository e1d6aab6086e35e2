"""Dense CRF inference on a GPU: which kernels run, in which order, on which tables."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from autoseg.crf.kernels import BilateralKernel, Kernel, SpatialKernel
from autoseg.crf.linear import LinearFilter
from autoseg.crf.settings import CRFConfig
from autoseg.crf.triton_kernels.attention import TritonBruteForceFilter
from autoseg.crf.triton_kernels.lattice import TritonPermutohedralFilter
from autoseg.crf.triton_kernels.rows import pitch_of, to_rows
from autoseg.crf.triton_kernels.spatial import TritonSpatialFilter
from autoseg.crf.triton_kernels.update import (
    GridMessage,
    LatticeMessage,
    Message,
    num_programs,
    update_,
)

Term = Callable[[Tensor], Message]
"""A pairwise term: from the marginals' rows to its message."""


def triton_marginals(
    log_probabilities: Tensor,
    image: Tensor,
    terms: Sequence[tuple[Kernel, Tensor]],
    *,
    compatibility: Tensor | None = None,
    settings: CRFConfig,
) -> Tensor:
    """Infer the marginals of one image with Triton kernels, in float32, without a gradient.

    The model and the updates are those of `autoseg.crf.mean_field.mean_field`, save that a lattice
    mode takes spatial kernels with `xy_std` >= 2 at half resolution (docs/crf.md). All pixels are
    computed in all updates. Building a lattice waits for the device a few times; the updates do
    not, unless there is a tolerance. The result is the same bits in every call.

    Args:
        log_probabilities: -U, float32, (K, H, W), all finite, on a CUDA device. A number added to
            all labels of a pixel changes nothing, so logits do as well.
        image: uint8 or floating point, (3, H, W), colours 0 to 255.
        terms: Kernels, each with its weight, no dimensions or (K,).
        compatibility: mu, symmetric, float32, (K, K); None for Potts.
        settings: The CRF's settings; the mode is "fast", "accurate" or "exact".

    Returns:
        Q, float32, (K, H, W).

    Raises:
        NotImplementedError: If the image or the lattice is too large for the kernels.
    """
    logits = log_probabilities.contiguous()
    labels = _LabelMap(logits, compatibility)
    messages: list[Term] = []
    if settings.num_iterations > 0:
        for kernel, weight in terms:
            if isinstance(kernel, SpatialKernel):
                messages.append(_spatial_term(image, kernel, settings, labels, weight))
            else:
                build = _exact_term if settings.mode == "exact" else _lattice_term
                messages.append(build(image, kernel, settings, labels, weight))
    return run_updates(
        logits, messages, num_iterations=settings.num_iterations, tolerance=settings.tolerance
    )


def run_updates(
    logits: Tensor, terms: Sequence[Term], *, num_iterations: int, tolerance: float | None
) -> Tensor:
    """Update the marginals of logits (K, H, W); return them, (K, H, W).

    Between updates they are rows, for the filters. The last update writes them label by label.
    """
    num_labels, height, width = logits.shape
    rows = logits.new_empty(height * width, pitch_of(num_labels))
    marginals = torch.empty_like(logits)
    changes = None
    if tolerance is not None:
        changes = logits.new_empty(num_programs(num_labels, height * width))
    if num_iterations == 0:
        update_(logits, [], marginals, in_rows=False)
        return marginals
    update_(logits, [], rows, in_rows=True)
    for number in range(num_iterations):
        messages = [term(rows) for term in terms]
        if number == num_iterations - 1 and tolerance is None:
            update_(logits, messages, marginals, in_rows=False)
            return marginals
        update_(logits, messages, rows, in_rows=True, changes=changes)
        # Comparing waits for the device.
        if changes is not None and tolerance is not None and changes.max() < tolerance:
            break
    return marginals.copy_(rows[:, :num_labels].t().view_as(marginals))


class _LabelMap:
    """What turns messages into scores: the weights and, with one, the compatibility.

    Filters act on pixels and mu on labels, so that mu S is also the filters' sum with each table
    of points or cells multiplied by G = diag(w) mu^T. There are fewer of them than pixels.
    """

    def __init__(self, logits: Tensor, compatibility: Tensor | None) -> None:
        self._logits, self._compatibility = logits, compatibility

    def matrix(self, weight: Tensor) -> Tensor | None:
        """Return -G, (PITCH, PITCH); None for Potts."""
        if self._compatibility is None:
            return None
        scores = -self._weights(weight)[:, None] * self._compatibility.detach().t()
        return to_rows(to_rows(scores).t()).t().contiguous()

    def vector(self, weight: Tensor) -> Tensor:
        """Return what messages are multiplied by after `matrix`, (PITCH,)."""
        if self._compatibility is not None:
            weight = torch.ones_like(weight)
        return to_rows(self._weights(weight)[None])[0]

    def _weights(self, weight: Tensor) -> Tensor:
        return weight.detach().float().expand(len(self._logits))


def _lattice_term(
    image: Tensor,
    kernel: BilateralKernel,
    settings: CRFConfig,
    labels: _LabelMap,
    weight: Tensor,
) -> Term:
    lattice = TritonPermutohedralFilter(
        image,
        xy_std=kernel.xy_std,
        rgb_std=kernel.rgb_std,
        closed=settings.mode == "accurate",
    )
    before, after = _factors(lattice, image, settings.normalisation)
    entry_weights = lattice.listed(lattice.weights * before)
    weights = lattice.weights * after
    matrix, vector = labels.matrix(weight), labels.vector(weight)
    lattice.check_tables(len(vector))

    def message(rows: Tensor) -> Message:
        table = lattice.blur(lattice.splat(rows, entry_weights))
        if matrix is not None:
            table = table @ matrix
        return LatticeMessage(table, lattice.points, weights, vector)

    return message


def _exact_term(
    image: Tensor,
    kernel: BilateralKernel,
    settings: CRFConfig,
    labels: _LabelMap,
    weight: Tensor,
) -> Term:
    pairs = TritonBruteForceFilter(image, xy_std=kernel.xy_std, rgb_std=kernel.rgb_std)
    factors = _factors(pairs, image, settings.normalisation)
    before, after = (factor[:, None] for factor in factors)
    over_rows, over_columns = (before.new_ones(length) for length in image.shape[1:])
    matrix, vector = labels.matrix(weight), labels.vector(weight)

    def message(rows: Tensor) -> Message:
        table = after * pairs.product(before * rows)
        if matrix is not None:
            table = table @ matrix
        return GridMessage(table, over_rows, over_columns, vector, 1)

    return message


def _spatial_term(
    image: Tensor,
    kernel: SpatialKernel,
    settings: CRFConfig,
    labels: _LabelMap,
    weight: Tensor,
) -> Term:
    _, height, width = image.shape
    is_exact = settings.mode == "exact"
    exact = {"truncation": float("inf"), "may_halve": False} if is_exact else {}
    spatial = TritonSpatialFilter(
        height,
        width,
        std=kernel.xy_std,
        normalisation=settings.normalisation,
        device=image.device,
        **exact,
    )
    matrix, vector = labels.matrix(weight), labels.vector(weight)

    def message(rows: Tensor) -> Message:
        table = spatial.message(rows)
        if matrix is not None:
            table = table @ matrix
        over_rows, over_columns = spatial.after
        return GridMessage(table, over_rows, over_columns, vector, spatial.cell_side)

    return message


def _factors(kernel: LinearFilter, image: Tensor, normalisation: str) -> tuple[Tensor, Tensor]:
    """Return what a kernel is multiplied by before and after, each (P,); see `Normalised`."""
    ones = torch.ones(image[0].numel(), 1, device=image.device)
    if normalisation == "none":
        return ones[:, 0], ones[:, 0]
    sums = kernel.product(ones)
    return {
        "symmetric": (sums.rsqrt()[:, 0], sums.rsqrt()[:, 0]),
        "before": (sums.reciprocal()[:, 0], ones[:, 0]),
        "after": (ones[:, 0], sums.reciprocal()[:, 0]),
    }[normalisation]
