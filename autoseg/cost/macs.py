"""Multiply-accumulates of convolutions, linear layers and matrix products."""

from collections import defaultdict
from dataclasses import dataclass
from math import prod

import torch
from torch import nn

from autoseg.cost.formulas import is_unmodelled
from autoseg.cost.recording import OperatorCall, Recording, Shape, record_call, record_forward


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatorCost:
    """All calls of one operator in a forward pass."""

    name: str
    """Name of the operator, for example "aten.conv2d.default"."""

    num_calls: int
    """How often the network calls it."""

    output_elements: int
    """Elements of its outputs, summed over the calls."""

    macs: int
    """Multiply-accumulates, summed over the calls; 0 for an operator without a price."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MacCount:
    """Multiply-accumulates (MACs) of one forward pass in eval mode. FLOPs would be twice that."""

    macs: int
    """Convolutions (transposed ones by their input positions), linear layers and matrix products.
    Biases, normalisation, activations, pooling and resizing are not in it."""

    image_size: tuple[int, int]
    """Height and width of the images, in pixels."""

    batch_size: int
    """Number of images in the pass."""

    operators: tuple[OperatorCost, ...]
    """Every operator seen, the most expensive first, then by name."""

    @property
    def unmodelled(self) -> tuple[str, ...]:
        """Operators that multiply and have no price here: the total is then too small.

        Among them is every operator that is not torch's own.
        """
        return tuple(
            operator.name
            for operator in self.operators
            if is_unmodelled(operator.name, operator.macs, operator.output_elements)
        )

    @property
    def unpriced(self) -> tuple[OperatorCost, ...]:
        """Operators that were seen and cost 0 in this count."""
        return tuple(operator for operator in self.operators if operator.macs == 0)


def count_macs(
    network: nn.Module,
    image_size: tuple[int, int],
    *,
    batch_size: int = 1,
    device: str = "meta",
) -> MacCount:
    """Count the multiply-accumulates of one forward pass in eval mode.

    A count is torch's `FlopCounterMode` over 2, operator by operator, so it sees functional calls
    as well as modules; fused operators that it passes over have formulas of their own, and the
    count is the same on every device. A grouped or depthwise convolution costs its share; zeros
    that padding adds are multiplied like any pixel.

    Args:
        network: Maps images (N, 3, H, W) to logits; counted on a copy, itself not touched.
        image_size: Height and width in pixels.
        batch_size: N; the count grows with it.
        device: "meta" needs no memory for activations and next to no time at any size. A network
            whose flow depends on values cannot run there; "cpu" counts it on real tensors.

    Returns:
        The total, and the cost of each operator.

    Raises:
        ValueError: If the size holds no pixel.
        RuntimeError: If the network does not run on the device.
    """
    recording = record_forward(network, image_size, batch_size=batch_size, device=device)
    return summarise(recording, image_size=image_size, batch_size=batch_size)


def count_module_macs(module: nn.Module, input_shape: Shape) -> int:
    """Count the multiply-accumulates of one part of a network, by `count_macs`' rules, on "meta".

    Args:
        module: Maps one tensor to anything; counted on a copy in eval mode.
        input_shape: Shape of that tensor, (N, C, H, W).

    Raises:
        RuntimeError: If the module does not run on meta tensors.
    """
    return record_call(module, torch.zeros(input_shape, device="meta")).macs


def summarise(recording: Recording, *, image_size: tuple[int, int], batch_size: int) -> MacCount:
    """Add up a recording operator by operator; `image_size` and `batch_size` are those of it."""
    calls: defaultdict[str, list[OperatorCall]] = defaultdict(list)
    for call in recording.operators:
        calls[call.name].append(call)
    operators = [
        OperatorCost(
            name=name,
            num_calls=len(same),
            output_elements=sum(prod(call.output_shape) for call in same),
            macs=sum(call.macs for call in same),
        )
        for name, same in calls.items()
    ]
    return MacCount(
        macs=recording.macs,
        image_size=image_size,
        batch_size=batch_size,
        operators=tuple(sorted(operators, key=lambda operator: (-operator.macs, operator.name))),
    )
