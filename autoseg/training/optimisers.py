"""Optimizers by name."""

from torch import nn, optim

from autoseg.config import TrainingConfig


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
        return optim.AdamW(
            network.parameters(),
            lr=config.learning_rate,
            betas=(config.momentum, 0.999),
            weight_decay=config.weight_decay,
            **how,
        )
    return optim.SGD(
        network.parameters(),
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        **how,
    )
