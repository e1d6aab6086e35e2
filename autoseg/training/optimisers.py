"""Optimizers by name, and torch's own without its compiler.

Building one of torch's optimizers, or its first step, imports torch's compiler, torch._dynamo, only
to be kept out of what that compiles: 1.4 seconds of a core, as long as the import of torch itself.
Nothing here compiles an optimizer. The classes below are torch's, of which these methods are taken
from under the decorators that do it.
"""

import inspect
from typing import Any

import torch
from torch import nn, optim

from autoseg.config import TrainingConfig

_KERNELS = ("fused", "foreach", "capturable")
"""Settings of an optimizer that choose its kernels."""


class _WithoutCompiler(optim.Optimizer):
    """The bookkeeping of torch's optimizers, undecorated."""

    add_param_group = inspect.unwrap(optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(optim.Optimizer.load_state_dict)


class SGD(_WithoutCompiler, optim.SGD):
    """`torch.optim.SGD`."""

    step = torch.no_grad()(inspect.unwrap(optim.SGD.step))


class Adam(_WithoutCompiler, optim.Adam):
    """`torch.optim.Adam`."""

    step = torch.no_grad()(inspect.unwrap(optim.Adam.step))


class AdamW(_WithoutCompiler, optim.AdamW):
    """`torch.optim.AdamW`."""

    step = torch.no_grad()(inspect.unwrap(optim.AdamW.step))


def build_optimizer(network: nn.Module, config: TrainingConfig) -> optim.Optimizer:
    """Build what moves a network's weights.

    Args:
        network: On its device; all of its parameters are optimised.
        config: Names the optimizer, and its numbers.

    Returns:
        SGD with momentum, or AdamW with betas (momentum, 0.999).

    Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", arXiv 1711.05101,
    algorithm 2 (AdamW).
    """
    # One kernel for all tensors on a GPU; few, and bit for bit reproducible, elsewhere.
    on_gpu = next(network.parameters()).device.type == "cuda"
    how = {"fused": True} if on_gpu else {"foreach": True}
    if config.optimizer == "adamw":
        return AdamW(
            network.parameters(),
            lr=config.learning_rate,
            betas=(config.momentum, 0.999),
            weight_decay=config.weight_decay,
            **how,
        )
    return SGD(
        network.parameters(),
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        **how,
    )


def load_optimizer_(optimizer: optim.Optimizer, saved: dict[str, Any]) -> None:
    """Go back to a state, on this device or another, and keep what makes the steps here.

    Which kernels do that belongs to the device, not to what is resumed: AdamW with the CPU's reads
    its counters from a GPU at each step, one by one, and waits for each.

    Args:
        optimizer: On its device.
        saved: What the optimizer's `state_dict` was.
    """
    groups = [
        {**group, **{name: own[name] for name in _KERNELS if name in own}}
        for group, own in zip(saved["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict({**saved, "param_groups": groups})
