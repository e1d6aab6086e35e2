"""The moving average of a network's weights over its training."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Tensors = tuple[Tensor, ...] | list[Tensor]  # as torch hands them over


def averaged_network(network: nn.Module, decay: float) -> AveragedModel:
    """Start an exponential moving average of a network's weights and batch norm statistics.

    With n steps behind it the average keeps min(decay, (1 + n) / (10 + n)) of itself: early in a
    training it follows the weights, instead of remembering where they started.

    Args:
        network: The network that is trained; it is copied, and `update_parameters(network)` after
            each step takes the step into the average.
        decay: In (0, 1).

    Returns:
        torch's average; `.module` is a network of the same kind.

    Source: Polyak and Juditsky 1992; the decay's start is that of TensorFlow's
    ExponentialMovingAverage with num_updates.
    """

    @torch.no_grad()
    def average(kept: Tensors, current: Tensors, _: Tensor | int) -> None:
        steps = int(result.n_averaged)  # lies on the CPU: no wait for a device
        if kept[0].is_floating_point():
            share = min(decay, (1 + steps) / (10 + steps))
            get_ema_multi_avg_fn(share)(kept, current, steps)
        else:  # batch norm counts its batches
            for old, new in zip(kept, current, strict=True):
                old.copy_(new)

    result = AveragedModel(network, multi_avg_fn=average, use_buffers=True)
    return result
