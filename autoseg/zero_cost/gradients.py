"""Scores of a loss's gradients before any training: SNIP and ZiCo."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from autoseg.zero_cost.activations import main_logits

Batch = tuple[Tensor, Tensor]
"""Images, normalised, (N, C, H, W), and target, int64, (N, H, W)."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""Loss of logits (N, K, H, W) and a target."""


def snip(network: nn.Module, batches: Sequence[Batch], loss: Loss) -> float:
    """Sum how much the loss would change, to first order, without each weight: |w dL/dw|.

    Over the weights of convolutions and linear layers. Pruning divides each by the sum of all;
    to compare networks the sum itself is the score.

    Args:
        network: Scored on a copy in training mode.
        batches: Taken as one.
        loss: Takes logits and target, and gives a scalar.

    Returns:
        The score, higher for the better network.

    Sources: Lee et al. 2019, "SNIP", arXiv 1810.02340, section 4; Abdelfattah et al. 2021,
    "Zero-Cost Proxies for Lightweight NAS", arXiv 2101.08134, section 3.
    """
    network = copy.deepcopy(network).train()
    images, target = (torch.cat(parts) for parts in zip(*batches, strict=True))
    slopes = _gradients(network, (images, target), loss)
    return sum(
        float((weight.detach().double() * slope.double()).abs().sum())
        for weight, slope in zip(_weights(network), slopes, strict=True)
    )


def zico(network: nn.Module, batches: Sequence[Batch], loss: Loss) -> float:
    """Score how large and how steady the gradients of each layer are over batches.

    The score is the sum over layers of log(sum over weights of mean|g| / std|g|), over the
    gradients g of the same weights by each batch; weights with no deviation are left out, and so
    are layers with none else. Layers are convolutions and linear ones.

    Against the authors' code: the deviation is that of |g|, as their equation has it, and not of g.

    Args:
        network: Scored on a copy in training mode.
        batches: At least two.
        loss: Takes logits and target, and gives a scalar.

    Returns:
        The score, higher for the better network.

    Raises:
        ValueError: If there are fewer than two batches.

    Source: Li et al. 2023, "ZiCo: Zero-Shot NAS via Inverse Coefficient of Variation on Gradients",
    arXiv 2301.11300, section 3.
    """
    if len(batches) < 2:
        raise ValueError(f"zico: {len(batches)} batch, but a deviation needs at least two.")
    network = copy.deepcopy(network).train()
    by_batch = [
        [slope.abs().double() for slope in _gradients(network, batch, loss)] for batch in batches
    ]
    score = 0.0
    for slopes in map(torch.stack, zip(*by_batch, strict=True)):
        deviations = slopes.std(dim=0, correction=0)
        is_steady = deviations > 0
        ratios = slopes.mean(dim=0)[is_steady] / deviations[is_steady]
        if ratios.numel():
            score += float(ratios.sum().log())
    return score


def _weights(network: nn.Module) -> list[Tensor]:
    return [
        module.weight
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]


def _gradients(network: nn.Module, batch: Batch, loss: Loss) -> list[Tensor]:
    """Return the gradient of each weight, 0 for one that the loss does not depend on."""
    images, target = batch
    weights = _weights(network)
    value = loss(main_logits(network(images)), target)
    return list(torch.autograd.grad(value, weights, materialize_grads=True))
