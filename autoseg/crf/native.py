"""Dense CRF inference on the CPU: the compiled kernels behind tensors."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from autoseg._native import core
from autoseg.crf import buffers
from autoseg.crf.linear import LinearFilter
from autoseg.crf.permutohedral import CLOSED_SCALE

# Order of `autoseg::Normalisation` in autoseg/_native/kernels.hpp.
_NORMALISATIONS = ("symmetric", "before", "after", "none")


def native_marginals(
    log_probabilities: Tensor,
    image: Tensor,
    *,
    bilateral: Sequence[tuple[float | Tensor, float, float]],
    spatial: Sequence[tuple[float | Tensor, float]],
    compatibility: Tensor | None = None,
    normalisation: str = "symmetric",
    num_iterations: int,
    mode: str = "fast",
    tolerance: float | None = None,
    subsample_above: float = math.inf,
    isa: str = "",
) -> Tensor:
    """Infer the marginals of one image with the compiled kernels.

    The model and the updates are those of `autoseg.crf.mean_field.mean_field` with the filters of
    `fast` and `accurate` inference, in float32. The lattices are the same; a spatial kernel with
    `xy_std` >= 2 is evaluated at half resolution, on cells of 2 x 2 pixels, which moves marginals
    by less than a hundredth of what the lattice does.

    The result is the same in every call with the same number of threads
    (`torch.get_num_threads()`), and differs by float32 rounding between numbers of threads, unless
    rounding decides whether a row sum is above `subsample_above`.

    Args:
        log_probabilities: -U, float32, (K, H, W), contiguous, on the CPU, all finite and below
            2e38. A number added to all labels of a pixel changes nothing, so logits do as well.
        image: uint8 or float32, (3, H, W), contiguous, colours 0 to 255.
        bilateral: Weight, xy_std and rgb_std of each bilateral kernel; the weight is a number or,
            for each class, float32, (K,).
        spatial: Weight and xy_std of each spatial kernel.
        compatibility: mu, float32, (K, K); None for Potts.
        normalisation: "symmetric", "before", "after" or "none".
        num_iterations: Updates after Q_0, at most.
        mode: "fast" for the open lattice, "accurate" for the closed one.
        tolerance: Stop after an update that changes no probability by this much; None never does.
        subsample_above: Where each pixel of a block (2 rows, 16 columns) has a row sum above this
            in every bilateral kernel, before normalisation, an update computes half of the block's
            pixels: those of one colour of a chessboard, the other colour in the next update, and
            each counts for two. The last update computes all. With normalisation "none", a
            `tolerance`, no bilateral kernel or a spatial one with `xy_std` below 1, every update
            computes all pixels.
        isa: Instruction set, "" for the best that the processor has.

    Returns:
        Q, float32, (K, H, W).

    Raises:
        ValueError: If a tensor, mode or normalisation is not as described.
        NotImplementedError: If the lattice or the table of its values is too large for the
            compiled kernels' integers.
        FloatingPointError: If a number in `log_probabilities` is not as described.
        MemoryError: If there is not enough memory.
    """
    module = core()
    if module is None:
        raise RuntimeError("native_marginals: the compiled kernels are missing.")
    if mode not in ("fast", "accurate"):
        raise ValueError(f"native_marginals: mode {mode!r} is neither 'fast' nor 'accurate'.")
    if normalisation not in _NORMALISATIONS:
        raise ValueError(
            f"native_marginals: normalisation {normalisation!r} is none of {_NORMALISATIONS}."
        )
    num_classes, height, width = log_probabilities.shape
    _check("log_probabilities", log_probabilities, (num_classes, height, width))
    _check("image", image, (3, height, width), dtypes=(torch.float32, torch.uint8))
    if compatibility is not None:
        _check("compatibility", compatibility, (num_classes, num_classes))
    marginals = buffers.empty(tuple(log_probabilities.shape))
    if marginals.numel() == 0:
        return marginals
    # Held here while the kernels read them.
    weights = [
        _class_weights(kernel[0], num_classes)
        for kernels in (bilateral, spatial)
        for kernel in kernels
    ]
    addresses = [weight.data_ptr() for weight in weights]
    try:
        is_finite = module.crf_marginals(
            log_probabilities.data_ptr(),
            image.data_ptr(),
            image.dtype == torch.uint8,
            marginals.data_ptr(),
            (num_classes, height, width),
            [
                (address, _finite_square(xy_std), _finite_square(rgb_std))
                for address, (_, xy_std, rgb_std) in zip(addresses, bilateral, strict=False)
            ],
            [
                (address, _finite_square(xy_std))
                for address, (_, xy_std) in zip(addresses[len(bilateral) :], spatial, strict=True)
            ],
            0 if compatibility is None else compatibility.data_ptr(),
            _NORMALISATIONS.index(normalisation),
            mode == "accurate",
            CLOSED_SCALE if mode == "accurate" else 1.0,
            num_iterations,
            0.0 if tolerance is None else tolerance,
            subsample_above,
            torch.get_num_threads(),
            isa,
        )
    except OverflowError as error:
        raise NotImplementedError(f"native_marginals: {error}") from None
    if not is_finite:
        raise FloatingPointError("native_marginals: a log probability is not finite.")
    return marginals


class NativePermutohedralFilter(LinearFilter):
    """`autoseg.crf.permutohedral.PermutohedralFilter` with the compiled kernels, in float32.

    The same lattice and the same products up to float32 rounding, which is also what the number of
    threads changes; repeatable for a fixed number.
    """

    def __init__(
        self, features: Tensor, closed: bool, dtype: torch.dtype, *, isa: str = ""
    ) -> None:
        """Build the lattice.

        Args:
            features: float64, (P, 5), P > 0, on the CPU, divided by the kernel's deviations.
            closed: As for `PermutohedralFilter`.
            dtype: Floating point type of the values to come, float32.
            isa: Instruction set, "" for the best that the processor has.

        Raises:
            ValueError: If the features are not as described.
            NotImplementedError: If there is no compiled kernel for these features or type.
        """
        module = core()
        if module is None:
            raise RuntimeError("NativePermutohedralFilter: the compiled kernels are missing.")
        if dtype != torch.float32 or features.shape[1:] != (5,):
            raise NotImplementedError(
                f"NativePermutohedralFilter: values of type {dtype} and features of shape "
                f"{tuple(features.shape)}; there are kernels for torch.float32 and (P, 5)."
            )
        if features.dtype != torch.float64 or features.device.type != "cpu":
            raise ValueError(
                f"NativePermutohedralFilter: features are {features.dtype} on {features.device}; "
                "they have to be float64 on the CPU."
            )
        self._num_pixels = len(features)
        features = features.contiguous()
        try:
            self._filter = module.LatticeFilter(
                features.data_ptr(),
                len(features),
                closed,
                CLOSED_SCALE if closed else 1.0,
                torch.get_num_threads(),
                isa,
            )
        except OverflowError as error:
            raise NotImplementedError(f"NativePermutohedralFilter: {error}") from None

    def product(self, values: Tensor) -> Tensor:
        return self._apply(values, is_adjoint=False)

    def adjoint_product(self, values: Tensor) -> Tensor:
        return self._apply(values, is_adjoint=True)

    def _apply(self, values: Tensor, *, is_adjoint: bool) -> Tensor:
        values = values.contiguous()
        if values.ndim != 2 or len(values) != self._num_pixels or values.dtype != torch.float32:
            raise ValueError(
                f"NativePermutohedralFilter: values are {values.dtype}, {tuple(values.shape)}; "
                f"they have to be float32, ({self._num_pixels}, C)."
            )
        result = torch.empty_like(values)
        try:
            self._filter.product(
                values.data_ptr(),
                result.data_ptr(),
                values.shape[1],
                is_adjoint,
                torch.get_num_threads(),
            )
        except OverflowError as error:
            raise NotImplementedError(f"NativePermutohedralFilter: {error}") from None
        return result


def _finite_square(std: float) -> float:
    """Return a deviation whose square is a number; over any image the kernel stays the same."""
    return min(float(std), 1e100)


def _class_weights(weight: float | Tensor, num_classes: int) -> Tensor:
    """Return a weight for each class, float32, (K,), contiguous."""
    if not isinstance(weight, Tensor):
        return torch.full((num_classes,), float(weight))
    weight = weight.detach().expand(num_classes).contiguous()
    _check("weight", weight, (num_classes,))
    return weight


def _check(
    name: str,
    tensor: Tensor,
    shape: tuple[int, ...],
    *,
    dtypes: Sequence[torch.dtype] = (torch.float32,),
) -> None:
    # The kernels see addresses only.
    if (
        tensor.shape != shape
        or tensor.dtype not in dtypes
        or tensor.device.type != "cpu"
        or not tensor.is_contiguous()
    ):
        raise ValueError(
            f"native_marginals: {name} is {tensor.dtype}, {tuple(tensor.shape)}, on "
            f"{tensor.device}{'' if tensor.is_contiguous() else ', not contiguous'}; it has to be "
            f"{' or '.join(str(dtype) for dtype in dtypes)}, {shape}, contiguous, on the CPU."
        )
