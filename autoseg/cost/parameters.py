"""The number of learnt values in a network."""

from torch import nn


def count_parameters(network: nn.Module) -> int:
    """Count the values of all parameters, each shared one once.

    Frozen parameters and batch norm's scale and shift count; its running statistics and other
    buffers do not.

    Args:
        network: Any module, on any device, `meta` included.

    Returns:
        Number of values (not bytes).
    """
    return sum(parameter.numel() for parameter in network.parameters())
