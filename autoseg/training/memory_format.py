"""The order in which a network's weights and maps lie in memory."""

import torch
from torch import nn

from autoseg.config.forms import MemoryFormat


def lay_out_(network: nn.Module, memory_format: MemoryFormat) -> None:
    """Lay weights out as a training wants them; maps follow. No number changes.

    Args:
        network: On its device.
        memory_format: "channels-last" keeps all channels of a pixel together; "contiguous" leaves
            the weights as torch makes them.
    """
    if memory_format == "channels-last":
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
