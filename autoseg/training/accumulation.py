"""A batch that passes the network in parts: the gradient of the whole, in the memory of a part."""

import torch
from torch import Tensor

from autoseg.distributed import sum_over_processes
from autoseg.training.compiled import ForwardPass
from autoseg.training.loss_functions import Loss, label_at, segmentation_loss
from autoseg.training.loss_functions.pixels import pixel_weights
from autoseg.training.precision import ResolvedPrecision, autocast


def add_gradients(
    network: ForwardPass,
    images: Tensor,
    target: Tensor,
    *,
    num_parts: int,
    loss: Loss,
    class_weights: Tensor | None,
    ignore_index: int,
    precision: ResolvedPrecision,
) -> Tensor:
    """Add the gradients of a batch, one part after the other.

    A loss that is a mean over pixels divides by the pixels of the whole batch, so that value and
    gradient are those of the whole batch at once, up to rounding, wherever images do not act on
    each other in the network: batch norm in training takes the statistics of each part.

    Args:
        network: Its forward pass in training mode; gradients are added to those that its weights
            have.
        images: Normalised, (N, C, H, W).
        target: int64, (N, H, W).
        num_parts: At most N. 1 passes the batch at once, for which any loss will do.
        loss: A mean over pixels, weighted by class or not.
        class_weights: The loss's weight of each class, (K,); None weighs all alike.
        ignore_index: Label of pixels that do not count.
        precision: Precision of the forward pass.

    Returns:
        The loss of the whole batch, a scalar without a graph.
    """
    total = torch.zeros((), device=images.device)
    parts = zip(images.chunk(num_parts), target.chunk(num_parts), strict=True)
    part_loss = loss if num_parts == 1 else _PartLoss(loss, target, class_weights)
    for part, labels in parts:
        with autocast(precision, images.device):
            output = network(part)
        value = segmentation_loss(output, labels, ignore_index=ignore_index, loss=part_loss)
        value.backward()
        total = value.detach() if num_parts == 1 else total + value.detach()
    return total


class _PartLoss:
    """A part's share in the loss of the whole batch."""

    def __init__(self, loss: Loss, target: Tensor, class_weights: Tensor | None) -> None:
        self._loss = loss
        self._target = target
        self._class_weights = class_weights

    def __call__(self, logits: Tensor, target: Tensor, *, ignore_index: int) -> Tensor:
        # Auxiliary classifiers see smaller labels, of which another share is labelled.
        whole = label_at(self._target, logits.shape[2:])

        def weight(labels: Tensor) -> Tensor:
            weights = pixel_weights(
                logits, labels, ignore_index=ignore_index, class_weights=self._class_weights
            )
            return sum_over_processes(weights.double().sum())

        share = weight(target) / weight(whole).clamp(min=torch.finfo(torch.float64).tiny)
        value = self._loss(logits, target, ignore_index=ignore_index)
        return value * share.to(value.dtype)
