"""Depthwise convolution whose weight gradient is fast on the CPU, too."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def depthwise_conv2d(
    features: Tensor, weight: Tensor, *, padding: int, dilation: int, groups: int
) -> Tensor:
    """Convolve each channel by itself, as `torch.nn.functional.conv2d` does.

    On the CPU torch computes the gradient of the weights faster from maps whose channels lie
    together; they are laid out so for that alone.

    Args:
        features: (N, C, H, W).
        weight: (C, 1, k, k).
        padding: Pixels of zeros on each side.
        dilation: Pixels between taps.
        groups: C.

    Returns:
        (N, C, H', W').
    """
    if features.device.type != "cpu":
        return F.conv2d(features, weight, padding=padding, dilation=dilation, groups=groups)
    # Autocast would cast inside of the function, behind its back: it would have kept tensors of one
    # precision for gradients of another.
    device_type = features.device.type
    if torch.is_autocast_enabled(device_type):
        dtype = torch.get_autocast_dtype(device_type)
        features, weight = features.to(dtype), weight.to(dtype)
    output = _Depthwise.apply(features, weight, padding, dilation, groups)
    assert isinstance(output, Tensor)
    return output


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, padding: int, dilation: int, groups: int
    ) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.settings = (padding, dilation, groups)
        return F.conv2d(features, weight, padding=padding, dilation=dilation, groups=groups)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        features, weight = ctx.saved_tensors
        padding, dilation, groups = ctx.settings

        def gradient(output: Tensor, inputs: Tensor, index: int) -> Tensor | None:
            if not ctx.needs_input_grad[index]:
                return None
            wanted = [index == 0, index == 1, False]
            return torch.ops.aten.convolution_backward(
                output,
                inputs,
                weight,
                None,
                [1, 1],
                [padding, padding],
                [dilation, dilation],
                False,
                [0, 0],
                groups,
                wanted,
            )[index]

        last = torch.channels_last
        grad_features = gradient(grad_output, features, 0)
        grad_weight = None
        if ctx.needs_input_grad[1]:
            grad_weight = gradient(
                grad_output.contiguous(memory_format=last),
                features.contiguous(memory_format=last),
                1,
            )
        return grad_features, grad_weight, None, None, None
