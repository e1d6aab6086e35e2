"""Dense CRF inference on the CPU: the compiled kernels behind tensors."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import Tensor

from autoseg._native import core
from autoseg.crf.kernels import LATTICE_MODES, BilateralKernel, Kernel
from autoseg.crf.linear import LinearFilter
from autoseg.crf.memory import allowed_bytes, lattice_shortage
from autoseg.crf.permutohedral import CLOSED_SCALE
from autoseg.crf.settings import CRFConfig


def native_marginals(
    log_probabilities: Tensor,
    image: Tensor,
    terms: Sequence[tuple[Kernel, Tensor]],
    *,
    compatibility: Tensor | None = None,
    settings: CRFConfig,
    isa: str = "",
) -> Tensor:
    """Infer the marginals of one image with the compiled kernels.

    The model and the updates are those of `autoseg.crf.mean_field.mean_field` with the filters of
    `fast` and `accurate` inference, in float32; docs/crf.md names the two differences.

    Args:
        log_probabilities: -U, float32, (K, H, W), contiguous, on the CPU, all finite. A number
            added to all labels of a pixel changes nothing, so logits do as well.
        image: uint8 or float32, (3, H, W), contiguous, colours 0 to 255.
        terms: Kernels, each with its weight, float32, no dimensions or (K,).
        compatibility: mu, symmetric, float32, (K, K); None for Potts.
        settings: The CRF's settings; the mode is "fast" or "accurate".
        isa: Instruction set, "" for the best that the processor has.

    Returns:
        Q, float32, (K, H, W).

    Raises:
        ValueError: If a tensor or the mode is not as described.
        NotImplementedError: If the lattice or the table of its values is too large for the
            compiled kernels' integers.
        FloatingPointError: If a number in `log_probabilities` is not finite.
        UsageError: If the lattice is larger than the memory that is left.
        MemoryError: If the system gives out no more.
    """
    module = core()
    if module is None:
        raise RuntimeError("native_marginals: the compiled kernels are missing.")
    if settings.mode not in LATTICE_MODES:
        raise ValueError(
            f"native_marginals: mode {settings.mode!r} is neither 'fast' nor 'accurate'."
        )
    num_classes, height, width = log_probabilities.shape
    _check("log_probabilities", log_probabilities, (num_classes, height, width))
    _check("image", image, (3, height, width), dtypes=(torch.float32, torch.uint8))
    if compatibility is not None:
        compatibility = compatibility.contiguous()
        _check("compatibility", compatibility, (num_classes, num_classes))
    marginals = torch.empty_like(log_probabilities)
    if marginals.numel() == 0:
        return marginals
    bilateral: list[tuple[int, float, float]] = []
    spatial: list[tuple[int, float]] = []
    held = []  # the kernels read the weights at their addresses
    for kernel, weight in terms:
        held.append(weight.detach().expand(num_classes).contiguous())
        _check("weight", held[-1], (num_classes,))
        address, xy_std = held[-1].data_ptr(), _finite_square(kernel.xy_std)
        if isinstance(kernel, BilateralKernel):
            bilateral.append((address, xy_std, _finite_square(kernel.rgb_std)))
        else:
            spatial.append((address, xy_std))
    is_closed = settings.mode == "accurate"
    available = allowed_bytes(height * width, num_classes, mode=settings.mode)
    with _refusals("native_marginals", module, available):
        is_finite = module.crf_marginals(
            scores=log_probabilities.data_ptr(),
            image=image.data_ptr(),
            is_bytes=image.dtype == torch.uint8,
            marginals=marginals.data_ptr(),
            size=(num_classes, height, width),
            bilateral=bilateral,
            spatial=spatial,
            compatibility=0 if compatibility is None else compatibility.data_ptr(),
            normalisation=module.normalisations.index(settings.normalisation),
            closed=is_closed,
            feature_scale=CLOSED_SCALE if is_closed else 1.0,
            num_iterations=settings.num_iterations,
            tolerance=settings.tolerance or 0.0,
            subsample_above=math.inf
            if settings.subsample_above is None
            else settings.subsample_above,
            available=available,
            num_threads=torch.get_num_threads(),
            isa=isa,
        )
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
            closed: Whether the lattice is closed by its blur neighbours, as in mode "accurate".
            dtype: Floating point type of the values to come, float32.
            isa: Instruction set, "" for the best that the processor has.

        Raises:
            ValueError: If the features are not as described.
            NotImplementedError: If there is no compiled kernel for these features or type.
            UsageError: If the lattice is larger than the memory that is left.
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
        self._mode = "accurate" if closed else "fast"
        self._module = module
        features = features.contiguous()
        available = allowed_bytes(len(features), 0, mode=self._mode)
        with _refusals("NativePermutohedralFilter", module, available):
            self._filter = module.LatticeFilter(
                features=features.data_ptr(),
                num_pixels=len(features),
                closed=closed,
                feature_scale=CLOSED_SCALE if closed else 1.0,
                available=available,
                num_threads=torch.get_num_threads(),
                isa=isa,
            )

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
        available = allowed_bytes(*values.shape, mode=self._mode)
        with _refusals("NativePermutohedralFilter", self._module, available):
            self._filter.product(
                values=values.data_ptr(),
                result=result.data_ptr(),
                channels=values.shape[1],
                is_adjoint=is_adjoint,
                available=available,
                num_threads=torch.get_num_threads(),
            )
        return result


@contextmanager
def _refusals(caller: str, module: ModuleType, available: int) -> Iterator[None]:
    """Turn what the kernels throw where something is too large into what callers expect."""
    try:
        yield
    except OverflowError as error:
        raise NotImplementedError(f"{caller}: {error}") from None
    except module.MemoryShortage as error:  # its text is the bytes that it takes at least
        raise lattice_shortage(int(str(error)), available, torch.device("cpu")) from None


def _finite_square(std: float) -> float:
    """Return a deviation whose square is a number; over any image the kernel stays the same."""
    return min(float(std), 1e100)


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
