"""An operation outside the families: the module that its author builds."""

import torch
from torch import Tensor, nn

from autoseg.architecture import Operation
from autoseg.errors import UsageError


class RegisteredOperation(nn.Module):
    """A registered operation on one edge, held to what every operation promises.

    A result of another shape would be broadcast into a node's sum, and a change of the input would
    reach all other edges that read the same state; both in silence.
    """

    def __init__(self, operation: Operation, channels: int, stride: int) -> None:
        """Build the module.

        Args:
            operation: A registered one.
            channels: C of the input and of the output.
            stride: 1 or 2.

        Raises:
            UsageError: If what is built is no module.
        """
        super().__init__()
        assert operation.build is not None
        module = operation.build(channels, stride)
        if not isinstance(module, nn.Module):
            raise UsageError(
                f"operation {operation.name!r}: its builder returned a {type(module).__name__} for "
                f"{channels} channels and stride {stride}, but it must return a torch.nn.Module."
            )
        self.name, self.stride = operation.name, stride
        self.module = module

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride)).

        Raises:
            UsageError: If the module returns another shape, or has changed its input.
        """
        counts_changes = not (torch.compiler.is_compiling() or features.is_inference())
        before = features._version if counts_changes else 0
        result = self.module(features)
        if counts_changes and features._version != before:
            raise UsageError(
                f"operation {self.name!r} changes its input in place, which other edges read as "
                "well; leave inplace=True out, or work on a copy."
            )
        num_images, channels, height, width = features.shape
        expected = (num_images, channels, -(-height // self.stride), -(-width // self.stride))
        if tuple(result.shape) != expected:
            raise UsageError(
                f"operation {self.name!r} at stride {self.stride} maps {tuple(features.shape)} to "
                f"{tuple(result.shape)}, but it must give {expected}: as many channels, and height "
                "and width over the stride, rounded up."
            )
        return result
