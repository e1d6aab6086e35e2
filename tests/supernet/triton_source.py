"""One call of the Triton source operation, by the kernels and by plain operators."""

from dataclasses import dataclass

import numpy as np
import torch

from autoseg.supernet.source_layout import SourceLayout
from tests.supernet.source_reference import random_source, reference_source, updated_statistics

SEPARABLE = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)

ATROUS = ("none", "skip_connect", "atrous_conv_3x3", "atrous_conv_5x5")


@dataclass(frozen=True)
class Case:
    """One call of the kernels, forward and backward."""

    operations: tuple[str, ...]
    channels: int = 5
    num_targets: int = 2
    num_inputs: int = 2
    size: tuple[int, int, int] = (2, 5, 7)  # 70 pixels: a block of 64 and a rest
    training: bool = True
    keep: bool = True
    momentum: float = 0.1
    dtype: str = "float64"
    wants_weight: bool = True
    wants_alpha: bool = True

    @property
    def layout(self):
        return SourceLayout(self.operations, self.channels, self.num_targets, self.num_inputs)

    def draw(self):
        """Draw (weight, running mean, running variance, state, alpha, gradient of out)."""
        weight, statistics, state, alpha = random_source(self.layout, self.size, seed=0)
        num_images, num_inputs, channels, height, width = state.shape
        shape = (num_images, num_inputs, self.num_targets, channels, height, width)
        grad = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        return weight, *statistics, state, alpha, grad

    def round(self, tensors):
        """Round to the type that the kernels are given, so that the reference sees the same."""
        return [tensor.to(getattr(torch, self.dtype)).double() for tensor in tensors]


def run_kernels(case, tensors, device="cpu"):
    """Run forward and backward, and return what they wrote, by name.

    The contributions and the state's gradient are added to ones: what is added is returned.
    """
    from autoseg.supernet.triton_kernels import TritonSourceKernels

    dtype = getattr(torch, case.dtype)
    tensors = (torch.as_tensor(tensor).to(device, dtype) for tensor in tensors)
    weight, running_mean, running_var, state, alpha, grad = tensors
    num_images, _, channels, height, width = state.shape
    options = {"size": (num_images, channels, height, width), "training": case.training}
    kernels = TritonSourceKernels(block_elements=512, num_programs=1)

    def pack_targets(maps):
        return torch.stack([kernels.pack(target) for target in maps.unbind(dim=2)])

    packed, out = kernels.pack(state), pack_targets(torch.ones_like(grad))
    saved = kernels.forward(
        case.layout,
        weight,
        (running_mean, running_var),
        packed,
        alpha,
        out,
        momentum=case.momentum,
        keep=case.keep,
        **options,
    )
    grad_state = torch.ones_like(packed)
    grad_weight = torch.full_like(weight, torch.nan) if case.wants_weight else None
    grad_alpha = torch.full_like(alpha, torch.nan) if case.wants_alpha else None
    kernels.backward(
        case.layout,
        weight,
        packed,
        alpha,
        saved,
        pack_targets(grad),
        grad_state,
        grad_weight=grad_weight,
        grad_alpha=grad_alpha,
        **options,
    )
    unpacked = [kernels.unpack(target, num_images, channels) for target in out]
    results = {
        "contributions": torch.stack(unpacked, dim=2) - 1,
        "running_mean": running_mean,
        "running_var": running_var,
        "state": kernels.unpack(grad_state, num_images, channels) - 1,
        "weight": grad_weight,
        "alpha": grad_alpha,
    }
    return {name: x.cpu().numpy() for name, x in results.items() if x is not None}


def reference(case, tensors):
    """Compute what `run_kernels` returns by plain operators and autograd."""
    weight, running_mean, running_var, state, alpha, grad = tensors
    inputs = {"state": state, "weight": weight, "alpha": alpha}
    for tensor in inputs.values():
        tensor.requires_grad_()
    statistics = running_mean, running_var
    result = reference_source(case.layout, weight, statistics, state, alpha, training=case.training)
    result.contributions.backward(grad)
    if case.training:
        statistics = updated_statistics(
            statistics, result, num_samples=np.prod(case.size), momentum=case.momentum
        )
    expected = {
        "contributions": result.contributions.detach(),
        "running_mean": statistics[0],
        "running_var": statistics[1],
        # A sum that does not contain an input has no gradient at all in autograd.
        **{name: torch.zeros_like(x) if x.grad is None else x.grad for name, x in inputs.items()},
    }
    return {name: tensor.detach().numpy() for name, tensor in expected.items()}
