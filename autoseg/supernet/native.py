"""The source operation on the CPU: the compiled kernels behind tensors."""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autoseg._native import core
from autoseg.architecture import OPERATIONS
from autoseg.supernet.batch_norm import EPS
from autoseg.supernet.fused_cell import Size
from autoseg.supernet.source_layout import SourceLayout


class NativeSourceKernels:
    """Source operation in C++ with explicit vectors, float32 or float64.

    A state is packed as (K, groups, blocks, H, W, lanes): vectors run over channels, and over the
    images of the batch where there are fewer channels than lanes. Contract:
    `autoseg.supernet.fused_cell.SourceKernels`.
    """

    def __init__(self, isa: str = "") -> None:
        """Take the kernels of an instruction set, "" for the best that the processor has."""
        self.isa = isa

    def pack(self, maps: Tensor) -> Tensor:
        """Lay (N, K, C, H, W) out for the kernels, with zeros where vectors are not full."""
        num_images, num_inputs, channels, height, width = maps.shape
        lanes = _lanes(maps.dtype, self.isa)
        if channels >= lanes:
            blocks = -(-channels // lanes)
            padding, shape = blocks * lanes - channels, (num_images, blocks, lanes)
            maps = F.pad(maps, (0, 0, 0, 0, 0, padding)) if padding else maps
            split = maps.permute(1, 0, 3, 4, 2).unflatten(-1, shape[1:])  # (K, N, H, W, B, L)
            return split.permute(0, 1, 4, 2, 3, 5).contiguous()
        padded = _power_of_two(channels)
        images = lanes // padded
        groups = -(-num_images // images)
        extra = (0, 0, 0, 0, 0, padded - channels, 0, 0, 0, groups * images - num_images)
        maps = F.pad(maps, extra) if any(extra) else maps
        split = maps.unflatten(0, (groups, images))  # (G, I, K, C, H, W)
        packed = split.permute(2, 0, 4, 5, 1, 3).contiguous()
        return packed.view(num_inputs, groups, 1, height, width, lanes)

    def unpack(self, packed: Tensor, num_images: int, channels: int) -> Tensor:
        """Return (N, K, C, H, W) as a view of packed maps (K, ...) where they lie so."""
        num_inputs, groups, _, height, width, lanes = packed.shape
        if channels >= lanes:
            maps = packed.permute(1, 0, 2, 5, 3, 4).flatten(2, 3)  # (N, K, C, H, W)
            return maps[:, :, :channels]
        padded = _power_of_two(channels)
        split = packed.view(num_inputs, groups, height, width, lanes // padded, padded)
        maps = split.permute(1, 4, 0, 5, 2, 3).flatten(0, 1)
        return maps[:num_images, :, :channels]

    def forward(
        self,
        layout: SourceLayout,
        weight: Tensor,
        statistics: tuple[Tensor, Tensor],
        state: Tensor,
        alpha: Tensor,
        out: Tensor,
        *,
        size: Size,
        training: bool,
        momentum: float,
        keep: bool,
    ) -> tuple[Tensor, ...]:
        """Add the contributions to `out`; see `SourceKernels.forward`."""
        source, (_, num_statistics, num_kept) = _source(layout, size, state.dtype, self.isa)
        _check(state, weight, *statistics, state, alpha, out)
        batch = state.new_empty(num_statistics)
        kept = state.new_empty(num_kept if keep else 0)
        source.forward(
            weight.data_ptr(),
            statistics[0].data_ptr(),
            statistics[1].data_ptr(),
            state.data_ptr(),
            alpha.data_ptr(),
            out.data_ptr(),
            batch.data_ptr(),
            kept.data_ptr() if keep else 0,
            momentum,
            EPS,
            training,
            torch.get_num_threads(),
        )
        return batch, kept

    def backward(
        self,
        layout: SourceLayout,
        weight: Tensor,
        state: Tensor,
        alpha: Tensor,
        saved: tuple[Tensor, ...],
        grad_out: Tensor,
        grad_state: Tensor,
        *,
        size: Size,
        training: bool,
        grad_weight: Tensor | None,
        grad_alpha: Tensor | None,
    ) -> None:
        """Add to `grad_state`, write the other gradients; see `SourceKernels.backward`."""
        source, _ = _source(layout, size, state.dtype, self.isa)
        wanted = [gradient for gradient in (grad_weight, grad_alpha) if gradient is not None]
        _check(state, weight, alpha, *saved, grad_out, grad_state, *wanted)
        batch, kept = saved
        source.backward(
            weight.data_ptr(),
            state.data_ptr(),
            alpha.data_ptr(),
            batch.data_ptr(),
            kept.data_ptr() if kept.numel() else 0,
            grad_out.data_ptr(),
            grad_state.data_ptr(),
            0 if grad_weight is None else grad_weight.data_ptr(),
            0 if grad_alpha is None else grad_alpha.data_ptr(),
            training,
            torch.get_num_threads(),
        )


def operation_names(module: Any) -> tuple[str, ...]:
    """Return the operations that compiled kernels evaluate, in the order that they count them.

    Args:
        module: The compiled module, whose `operations` are (name, kernel size, atrous rate).

    Raises:
        RuntimeError: If they are not those of the table.
    """
    table = {
        (operation.name, operation.kernel_size, operation.rate)
        for operation in OPERATIONS.values()
        if operation.family is not None
    }
    if set(module.operations) != table:
        differing = sorted(table.symmetric_difference(module.operations))
        raise RuntimeError(
            "the compiled kernels evaluate other operations (name, kernel size, rate) than "
            f"autoseg.architecture.operations lists; the two differ in {differing}. Install "
            "autoseg again."
        )
    return tuple(name for name, _, _ in module.operations)


def _check(state: Tensor, *tensors: Tensor) -> None:
    # The kernels see addresses only.
    for tensor in tensors:
        if tensor.device.type != "cpu" or tensor.dtype != state.dtype or not tensor.is_contiguous():
            raise ValueError(
                f"NativeSourceKernels: a tensor is {tensor.dtype} on {tensor.device}"
                f"{'' if tensor.is_contiguous() else ', not contiguous'}; the state is "
                f"{state.dtype}, and everything has to be contiguous on the CPU."
            )


@cache
def _source(layout: SourceLayout, size: Size, dtype: torch.dtype, isa: str) -> tuple[Any, Any]:
    """Return the kernels' source operation and its sizes: state, statistics, kept maps."""
    module = core()
    assert module is not None
    num_images, channels, height, width = size
    columns = [
        layout.operations.index(name) if name in layout.operations else -1
        for name in operation_names(module)
    ]
    source = module.Source(
        num_images,
        layout.num_inputs,
        layout.num_targets,
        channels,
        height,
        width,
        len(layout.operations),
        columns,
        dtype == torch.float64,
        isa,
    )
    return source, source.sizes()


@cache
def _lanes(dtype: torch.dtype, isa: str) -> int:
    module = core()
    assert module is not None
    return module.lanes(str(dtype).removeprefix("torch."), isa)


def _power_of_two(channels: int) -> int:
    return 1 << (channels - 1).bit_length()
