"""What a network returns, and which of its parameters serve training alone."""

from collections.abc import Iterator

from torch import nn

AUXILIARY = "auxiliary"
"""Attribute that holds a network's training-only parts; such parts have no other home."""
WRAPPED = "network"
"""Attribute that holds the whole network in one that adds to its end."""


def inference_parameters(network: nn.Module) -> Iterator[nn.Parameter]:
    """Iterate over the parameters that take part in eval mode.

    Published parameter counts leave the training-only classifiers out; so does a count over this.
    """
    for name, parameter in network.named_parameters():
        if name.removeprefix(f"{WRAPPED}.").split(".", 1)[0] != AUXILIARY:
            yield parameter
