"""The moving average of a network's weights over its training."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class MovingAverage(AveragedModel):
    """torch's average by a rule of its own, which waits for no device.

    torch sends the number of steps to the device at each of them, for which a GPU has to have done
    all that it was asked before.
    """

    n_averaged: Tensor
    """Steps so far, on the CPU."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Copy the network, which the first step fills; see `averaged_network`."""
        super().__init__(network, use_buffers=True)
        self._decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take a step of the network into the average."""
        steps = int(self.n_averaged)
        share = 0.0 if steps == 0 else min(self._decay, (1 + steps) / (10 + steps))
        pairs = list(
            zip(
                [*self.module.parameters(), *self.module.buffers()],
                [*model.parameters(), *model.buffers()],
                strict=True,
            )
        )
        mixed = [pair for pair in pairs if steps > 0 and pair[0].is_floating_point()]
        if mixed:
            kept, current = zip(*mixed, strict=True)
            get_ema_multi_avg_fn(share)(kept, current, steps)
        for old, new in pairs:
            # The first step is the average; later, batch norm counts its batches.
            if steps == 0 or not old.is_floating_point():
                old.copy_(new)
        self.n_averaged += 1


def averaged_network(network: nn.Module, decay: float) -> MovingAverage:
    """Start an exponential moving average of a network's weights and batch norm statistics.

    With n steps behind it the average keeps min(decay, (1 + n) / (10 + n)) of itself: early in a
    training it follows the weights, instead of remembering where they started.

    Args:
        network: The network that is trained; it is copied, and `update_parameters(network)` after
            each step takes the step into the average.
        decay: In (0, 1).

    Returns:
        The average; `.module` is a network of the same kind.

    Source: Polyak and Juditsky 1992; the decay's start is that of TensorFlow's
    ExponentialMovingAverage with num_updates.
    """
    return MovingAverage(network, decay)
