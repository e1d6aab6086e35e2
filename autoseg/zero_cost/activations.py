"""Scores of what images do to a network before any training, without labels: jacov and NWOT."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from autoseg.contract import TrainingLogits

_RELU = (torch.ops.aten.relu.default, torch.ops.aten.relu_.default)
_UNITS_AT_ONCE = 2**22
"""float32 counts exactly up to 2**24."""


def jacov(network: nn.Module, images: Tensor) -> float:
    """Score how little the gradients of different images correlate.

    With the correlation matrix of the gradients of the summed logits by each image, and its
    eigenvalues v, the score is -sum(log(v + eps) + 1 / (v + eps)): -N where they are uncorrelated,
    and far below where they are alike.

    Args:
        network: Scored on a copy in training mode, whose batch norms are those of the batch.
        images: Normalised, (N, C, H, W), N at least 2.

    Returns:
        The score, higher for the better network; NaN if a gradient is constant.

    Source: Mellor et al. 2020, "Neural Architecture Search without Training", arXiv 2006.04647,
    version 1, section 3, with eps = 1e-5.
    """
    images = images.detach().clone().requires_grad_()
    logits = main_logits(copy.deepcopy(network).train()(images))
    (gradients,) = torch.autograd.grad(logits.sum(), images)
    rows = gradients.flatten(1).double()
    rows = rows - rows.mean(dim=1, keepdim=True)
    rows = rows / rows.norm(dim=1, keepdim=True)
    correlations = rows @ rows.T
    if not bool(torch.isfinite(correlations).all()):
        return float("nan")
    # Rounding may leave an eigenvalue of 0 below it.
    values = torch.linalg.eigvalsh(correlations).clamp_min(0) + 1e-5
    return -float((values.log() + 1 / values).sum())


def nwot(network: nn.Module, images: Tensor) -> float:
    """Score how differently images switch a network's rectified units.

    With the binary code c_i of image i, a bit for each unit that says whether its input is
    positive, and K_ij = number of units - Hamming(c_i, c_j), the score is log|det K|. Units are
    those of every ReLU, in whatever way it is called.

    Args:
        network: Scored on a copy in training mode, whose batch norms are those of the batch.
        images: Normalised, (N, C, H, W), N at least 2.

    Returns:
        The score, higher for the better network; minus infinity if two images have one code.

    Raises:
        ValueError: If the network has no ReLU.

    Source: Mellor et al. 2021, "Neural Architecture Search without Training", arXiv 2006.04647,
    section 3.
    """
    with torch.no_grad(), _Codes(len(images)) as codes:
        copy.deepcopy(network).train()(images)
    if codes.num_units == 0:
        raise ValueError("nwot: the network calls no ReLU, so that images have no codes in it.")
    return float(torch.linalg.slogdet(codes.kernel).logabsdet)


def main_logits(output: Tensor | TrainingLogits) -> Tensor:
    """Return the logits of a network's output, without those that serve training alone."""
    return output.logits if isinstance(output, TrainingLogits) else output


class _Codes(TorchDispatchMode):
    """Counts, for each pair of images, the units that are on in both or off in both.

    Attributes:
        kernel: The counts, float64, (N, N).
        num_units: Units of one image.
    """

    def __init__(self, num_images: int) -> None:
        super().__init__()
        self.kernel = torch.zeros(num_images, num_images, dtype=torch.float64)
        self.num_units = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _RELU:
            self._add(args[0])  # before an in-place one overwrites it
        return func(*args, **(kwargs or {}))

    def _add(self, inputs: Tensor) -> None:
        is_on = inputs.flatten(1) > 0
        self.num_units += is_on.shape[1]
        for part in is_on.float().split(_UNITS_AT_ONCE, dim=1):
            both = part @ part.T + (1 - part) @ (1 - part).T
            self.kernel += both.double().cpu()
