"""What each operator reads: from the places of its outputs back to those of its inputs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a tensor lies; strides and offset are in its own elements."""

    storage: int
    """Number of the storage."""
    shape: tuple[int, ...]
    """Shape of the tensor that lies there."""
    stride: tuple[int, ...]
    """Step of each dimension."""
    offset: int
    """The first element."""
    is_from_image: bool
    """Whether it depends on the image, before what it is an argument of."""
    made_by: "Operation | None"
    """What wrote there last; None for images and weights."""

    @property
    def end(self) -> int:
        """The element behind the last one."""
        steps = zip(self.shape, self.stride, strict=True)
        return self.offset + 1 + sum((size - 1) * step for size, step in steps)

    @property
    def is_plain(self) -> bool:
        """Whether it begins with its storage, and its elements follow each other in order."""
        step, is_plain = 1, self.offset == 0
        for size, stride in zip(reversed(self.shape), reversed(self.stride), strict=True):
            is_plain &= size == 1 or stride == step
            step *= size
        return is_plain

    @property
    def is_overlapping(self) -> bool:
        """Whether two of its elements may lie at one place, as in an expanded tensor."""
        reach = 0
        for step, size in sorted(zip(self.stride, self.shape, strict=True)):
            if size > 1 and step <= reach:
                return True
            reach += (size - 1) * step
        return False


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One call of an operator."""

    func: Any
    """The operator."""
    args: tuple[Any, ...]
    """Positional arguments, each tensor replaced by its place."""
    kwargs: dict[str, Any]
    """Arguments by name, likewise."""
    outputs: tuple[Place, ...]
    """What it writes, less views of what is there already."""

    @property
    def name(self) -> str:
        """Namespace and operator, for example "aten.convolution"; "_" at its end left out."""
        return str(self.func.overloadpacket).removesuffix("_")

    @property
    def inputs(self) -> list[Place]:
        """All tensors among the arguments."""
        return [each for each in tree_leaves((self.args, self.kwargs)) if isinstance(each, Place)]

    def argument(self, position: int, default: Any = None) -> Any:
        """Return a positional argument, or the default where it was left out."""
        return self.args[position] if position < len(self.args) else default


Reach = tuple[Place, Tensor]
"""An input, and which of its values are read: bool, of its shape."""
Rule = Callable[[Operation, list[Tensor]], Iterator[Reach]]
"""Takes the operation and for each output the values that are asked for."""


def rule_of(operation: Operation) -> Rule | None:
    """Return what says which inputs an operator's outputs read; None if nothing does."""
    rule = _RULES.get(operation.name)
    if rule is None and torch.Tag.pointwise in operation.func.tags:
        return _pointwise
    return rule


def _pointwise(operation: Operation, masks: list[Tensor]) -> Iterator[Reach]:
    """Each value reads those at its own place, of all inputs, which may be broadcast."""
    for place in operation.inputs:
        if place.is_from_image:
            yield place, _narrowed(masks[0], place.shape)


def _narrowed(mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Undo a broadcast to the shape of `mask`: a value is read if one of its copies is."""
    if mask.ndim > len(shape):
        mask = mask.flatten(0, mask.ndim - len(shape)).any(0)
    for dim, size in enumerate(shape):
        if size == 1 and mask.shape[dim] > 1:
            mask = mask.any(dim, keepdim=True)
    return mask


def _overwriting(operation: Operation, masks: list[Tensor]) -> Iterator[Reach]:
    """A copy reads its source, not what it writes over."""
    for place in operation.inputs[1:]:
        yield place, _narrowed(masks[0], place.shape)


def _nothing(operation: Operation, masks: list[Tensor]) -> Iterator[Reach]:
    yield from ()


def _over(*, dim: int, keeps_shape: bool = False) -> Rule:
    """Reductions and softmax: each value reads all along some dimensions.

    Args:
        dim: Position of the dimensions among the arguments; all dimensions if there is none.
        keeps_shape: Whether the output has the input's shape.
    """

    def rule(operation: Operation, masks: list[Tensor]) -> Iterator[Reach]:
        place = operation.args[0]
        chosen = operation.argument(dim)
        if chosen is None or chosen == []:
            chosen = list(range(len(place.shape)))
        dims = [each % len(place.shape) for each in tree_leaves(chosen)]
        for mask in masks:
            if keeps_shape:
                mask = mask.any(dim=dims, keepdim=True)
            else:  # the dimensions may have been kept or dropped
                sides = [1 if d in dims else s for d, s in enumerate(place.shape)]
                mask = mask.reshape(sides)
            yield place, mask.expand(place.shape)

    return rule


def _batch_norm(operation: Operation, masks: list[Tensor]) -> Iterator[Reach]:
    """By statistics that are kept: pointwise. By those of the image itself: its whole channel."""
    mask, is_training = masks[0], operation.args[5]
    if is_training:
        over = [dim for dim in range(mask.ndim) if dim != 1]
        mask = mask.any(dim=over, keepdim=True).expand_as(mask)
    yield operation.args[0], mask


def _group_norm(operation: Operation, masks: list[Tensor]) -> Iterator[Reach]:
    mask, num_groups = masks[0], operation.args[6]
    grouped = mask.reshape(len(mask), num_groups, -1)
    yield operation.args[0], grouped.any(-1, keepdim=True).expand_as(grouped).reshape(mask.shape)


def _layer_norm(operation: Operation, masks: list[Tensor]) -> Iterator[Reach]:
    mask = masks[0]
    dims = list(range(mask.ndim - len(operation.args[1]), mask.ndim))
    yield operation.args[0], mask.any(dim=dims, keepdim=True).expand_as(mask)


def _product(operation: Operation, masks: list[Tensor]) -> Iterator[Reach]:
    """A product of matrices reads a row of the left one and a column of the right one."""
    *added, left, right = operation.inputs
    mask = masks[0]
    for place in added:
        yield place, _narrowed(mask, place.shape)
    yield left, mask.any(-1, keepdim=True).expand(left.shape)
    yield right, mask.any(-2, keepdim=True).expand(right.shape)


def _convolution(operation: Operation, masks: list[Tensor]) -> Iterator[Reach]:
    images, weight, _, stride, padding, dilation, is_transposed, _, groups = operation.args
    windows = Windows(kernel=weight.shape[2:], stride=stride, padding=padding, dilation=dilation)
    mask = masks[0]  # (N, O, *side); all outputs of a group read all inputs of it
    grouped = mask.unflatten(1, (groups, -1)).any(2)
    read = (windows.outputs_of if is_transposed else windows.inputs_of)(grouped, images.shape[2:])
    yield images, read.repeat_interleave(images.shape[1] // groups, dim=1)
    if weight.is_from_image:
        yield weight, torch.ones(weight.shape, dtype=torch.bool)


@dataclass(frozen=True, kw_only=True, slots=True)
class Windows:
    """Which positions of the side before a convolution or pooling are in which position's window.

    Output o reads the inputs o * stride - padding + k * dilation for k from 0 to kernel - 1, in
    each spatial dimension; the windows are products of these, so that each goes by itself.
    """

    kernel: Sequence[int]
    """Sides of the kernel."""
    stride: Sequence[int]
    """Step between windows."""
    padding: Sequence[int]
    """What is added before the first input."""
    dilation: Sequence[int]
    """Step inside a window."""

    def inputs_of(self, mask: Tensor, size: Sequence[int]) -> Tensor:
        """Return the inputs, (..., *size), that are in the windows of the outputs in the mask."""
        for axis, side in enumerate(size):
            kernel, stride, padding, dilation = self._along(axis, len(size))
            mask = mask.movedim(axis - len(size), -1)
            length = (mask.shape[-1] - 1) * stride + 1
            whole = max(length + (kernel - 1) * dilation, padding + side)
            read = mask.new_zeros(*mask.shape[:-1], whole)
            for place in range(0, kernel * dilation, dilation):
                read[..., place : place + length : stride] |= mask
            mask = read[..., padding : padding + side].movedim(-1, axis - len(size))
        return mask

    def outputs_of(self, mask: Tensor, size: Sequence[int]) -> Tensor:
        """Return the outputs, (..., *size), in whose windows the inputs in the mask are."""
        for axis, side in enumerate(size):
            kernel, stride, padding, dilation = self._along(axis, len(size))
            mask = mask.movedim(axis - len(size), -1)
            length = (side - 1) * stride + 1
            whole = max(length + (kernel - 1) * dilation, padding + mask.shape[-1])
            padded = mask.new_zeros(*mask.shape[:-1], whole)
            padded[..., padding : padding + mask.shape[-1]] = mask
            read = mask.new_zeros(*mask.shape[:-1], side)
            for place in range(0, kernel * dilation, dilation):
                read |= padded[..., place : place + length : stride]
            mask = read.movedim(-1, axis - len(size))
        return mask

    def _along(self, axis: int, num_axes: int) -> list[int]:
        values = (self.kernel, self.stride, self.padding, self.dilation)
        return [(list(each) * num_axes if len(each) == 1 else list(each))[axis] for each in values]


def _pooling_windows(operation: Operation) -> Windows:
    kernel = operation.args[1]
    is_max = "max" in operation.name  # of the others the fifth is a flag
    return Windows(
        kernel=kernel,
        stride=operation.argument(2) or kernel,
        padding=operation.argument(3, [0]),
        dilation=operation.argument(4, [1]) if is_max else [1],
    )


def _pooling(operation: Operation, masks: list[Tensor]) -> Iterator[Reach]:
    """A maximum or mean reads its window, and so does the place of the maximum."""
    images, windows = operation.args[0], _pooling_windows(operation)
    num_axes = len(operation.args[1])
    for mask in masks:
        yield images, windows.inputs_of(mask, images.shape[-num_axes:])


def _unpooling(operation: Operation, masks: list[Tensor]) -> Iterator[Reach]:
    """A pixel reads each pooled value, and its index, whose window the pixel was in."""
    maps, indices = operation.args[:2]
    read = masks[0]
    pooled = indices.made_by
    if pooled is not None and pooled.name == "aten.max_pool2d_with_indices":
        mask = _pooling_windows(pooled).outputs_of(read, maps.shape[-2:])
    else:  # indices from elsewhere may lead anywhere
        mask = read.any(-1, keepdim=True).any(-2, keepdim=True).expand(maps.shape)
    yield maps, mask
    yield indices, mask


def _linear(surrogate: Callable[..., Tensor] | None = None) -> Rule:
    """Read a linear operator from its own gradient, at random cotangents: none cancels another.

    Args:
        surrogate: An operator of the same arguments that reads the same; none: itself.
    """

    def rule(operation: Operation, masks: list[Tensor]) -> Iterator[Reach]:
        tensors: list[tuple[Place, Tensor]] = []

        def real(value: Any) -> Any:
            if not isinstance(value, Place):
                return value
            tensor = torch.zeros(value.shape, dtype=torch.float64, requires_grad=True)
            tensors.append((value, tensor))
            return tensor

        args, kwargs = tree_map(real, (operation.args, operation.kwargs))
        generator = torch.Generator().manual_seed(0)
        with torch.enable_grad():
            output = tree_leaves((surrogate or operation.func)(*args, **kwargs))[0]
        mask = torch.stack(masks).any(0)
        cotangent = mask * (1 + torch.rand(mask.shape, generator=generator, dtype=torch.float64))
        gradients = torch.autograd.grad(output, [tensor for _, tensor in tensors], cotangent)
        for (place, _), gradient in zip(tensors, gradients, strict=True):
            yield place, gradient.abs() > _ROUNDING

    return rule


_ROUNDING = 1e-9
"""Weights of a resize below this are what rounding leaves of 0; its own are shares of a pixel."""

_RULES: dict[str, Rule] = {
    **dict.fromkeys(("aten.clone", "aten._to_copy", "aten.hardtanh", "aten.native_dropout",
                     "aten.alias_copy", "aten.lift_fresh_copy"), _pointwise),
    "aten.copy": _overwriting,
    **dict.fromkeys(("aten.fill", "aten.zero", "aten.zeros_like", "aten.ones_like",
                     "aten.empty_like", "aten.full_like", "aten.new_zeros", "aten.new_ones",
                     "aten.new_empty", "aten.new_full", "aten.rand_like", "aten.randn_like"),
                    _nothing),
    "aten.convolution": _convolution,
    **dict.fromkeys(("aten.native_batch_norm", "aten.cudnn_batch_norm"), _batch_norm),
    "aten.native_group_norm": _group_norm,
    "aten.native_layer_norm": _layer_norm,
    **dict.fromkeys(("aten.mm", "aten.bmm", "aten.addmm", "aten.baddbmm"), _product),
    **dict.fromkeys((f"aten.{kind}_pool{dims}d{suffix}" for kind, suffix in (("avg", ""),
                     ("max", "_with_indices")) for dims in (2, 3)), _pooling),
    "aten.max_unpool2d": _unpooling,
    **dict.fromkeys(("aten.mean", "aten.sum", "aten.amax", "aten.amin", "aten.max", "aten.min",
                     "aten.var", "aten.std", "aten.argmax", "aten.argmin", "aten.any", "aten.all",
                     "aten.prod", "aten.logsumexp"), _over(dim=1)),
    "aten.linalg_vector_norm": _over(dim=2),
    **dict.fromkeys(("aten._softmax", "aten._log_softmax", "aten.cumsum"),
                    _over(dim=1, keeps_shape=True)),
    **dict.fromkeys(("aten.cat", "aten.stack", "aten.constant_pad_nd", "aten.pixel_shuffle",
                     "aten.pixel_unshuffle", "aten.channel_shuffle", "aten.roll", "aten.flip",
                     "aten.repeat", "aten.im2col", "aten.col2im", "aten._adaptive_avg_pool2d",
                     "aten._unsafe_view", "aten._reshape_copy"), _linear()),
    **dict.fromkeys((f"aten.{kind}_pad{dims}d" for kind in ("reflection", "replication")
                     for dims in (1, 2, 3)), _linear()),
    **dict.fromkeys((f"aten.{kind}" for kind in ("upsample_nearest1d", "upsample_nearest2d",
                     "_upsample_nearest_exact2d", "upsample_linear1d", "upsample_bilinear2d",
                     "upsample_bicubic2d", "upsample_trilinear3d", "_upsample_bilinear2d_aa",
                     "_upsample_bicubic2d_aa")), _linear()),
    "aten.adaptive_max_pool2d": _linear(torch.ops.aten._adaptive_avg_pool2d.default),
}  # fmt: skip
"""Rules by operator; what is tagged as pointwise by torch needs none."""
