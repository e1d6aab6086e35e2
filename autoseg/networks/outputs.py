"""What a network returns, and which of its parameters serve training alone."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn

AUXILIARY = "auxiliary"
"""Attribute that holds a network's training-only parts; such parts have no other home."""
WRAPPED = "network"
"""Attribute that holds the whole network in one that adds to its end."""


class TrainingLogits(NamedTuple):
    """Logits of a network in training mode that has auxiliary classifiers.

    The loss is CE(logits, target) + sum over i of weights[i] * CE(auxiliary[i], target_i), where
    target_i is the target subsampled to the size of auxiliary[i] by nearest neighbour (class
    indices cannot be interpolated). In eval mode such a network returns `logits` alone.
    """

    logits: Tensor
    """(N, K, H, W), at the input's size."""
    auxiliary: tuple[Tensor, ...]
    """Each (N, K, h, w) at its own, lower resolution, coarsest first."""
    weights: tuple[float, ...]
    """Weight of each auxiliary loss, in the same order; the main loss has weight 1."""


def inference_parameters(network: nn.Module) -> Iterator[nn.Parameter]:
    """Iterate over the parameters that take part in eval mode.

    Published parameter counts leave the training-only classifiers out; so does a count over this.
    """
    for name, parameter in network.named_parameters():
        if name.removeprefix(f"{WRAPPED}.").split(".", 1)[0] != AUXILIARY:
            yield parameter
