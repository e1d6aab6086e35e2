"""Compare every gradient of batch norm with that of the same maps in plain order."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class BatchNormWatch(TorchDispatchMode):
    """Computes each batch norm's backward pass a second time, from contiguous copies.

    torch 2.13's is wrong on the CPU for single images of some strides; see
    `autoseg.supernet.batch_norm`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[float] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.native_batch_norm_backward.default:
            grad, maps, *rest = args
            expected = func(in_plain_order(grad), in_plain_order(maps), *rest)[0]
            scale = expected.abs().max().clamp_min(1e-30)
            self.errors.append(((result[0] - expected).abs().max() / scale).item())
        return result


def in_plain_order(maps: Tensor) -> Tensor:
    """Copy maps to the strides of (N, C, H, W), those of a single image included."""
    return torch.empty(maps.shape, dtype=maps.dtype).copy_(maps)
