"""The loss that a configuration and a dataset decide, down to the last number."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from autoseg.config import LossConfig, LossName
from autoseg.config.losses import CLASS_WEIGHTED, LOSS_OPTIONS
from autoseg.data import SegmentationDataset
from autoseg.distributed import num_processes
from autoseg.errors import UsageError
from autoseg.training.class_weights import class_weights
from autoseg.training.loss_functions.auxiliary import Loss
from autoseg.training.losses import LOSS_DEFAULTS, LOSSES


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenLoss:
    """A sum of losses with every number that decides its value; goes into the run's record."""

    terms: dict[LossName, dict[str, float]]
    """The losses that are added, in order, each with its options."""
    class_weights: dict[str, float] | None
    """Weight of each class by its name, in the order of the classes; None weighs all alike."""


PLAIN = ChosenLoss(terms={"cross_entropy": {}}, class_weights=None)
"""Cross-entropy of every labelled pixel alike."""

_WHOLE_BATCH = frozenset({"ohem", "lovasz"})


def choose_loss(config: LossConfig, dataset: SegmentationDataset) -> ChosenLoss:
    """Fill in what a configuration leaves open; class weights by median read every label.

    Args:
        config: The settings.
        dataset: The train split.

    Raises:
        UsageError: If the class weights do not fit the dataset, or several processes share the
            batch and a loss cannot be.
    """
    terms: dict[LossName, dict[str, float]] = {name: {} for name in config.loss}
    if config.label_smoothing > 0:
        terms["cross_entropy"]["label_smoothing"] = config.label_smoothing
    for field, option in LOSS_OPTIONS.items():
        if option.loss in terms:
            given = getattr(config, field)
            terms[option.loss][option.keyword] = LOSS_DEFAULTS[field] if given is None else given
    require_shareable_loss(terms)
    weights = None
    if config.class_weights is not None:
        values = class_weights(config.class_weights, dataset)
        weights = dict(zip(dataset.class_names, values, strict=True))
    return ChosenLoss(terms=terms, class_weights=weights)


def require_shareable_loss(names: Iterable[LossName]) -> None:
    """Refuse losses that several processes cannot add up from their parts of a batch.

    Raises:
        UsageError: With the losses that they can; never in a process that is alone.
    """
    if num_processes() == 1:
        return
    remedy = f"use {', '.join(sorted(LOSSES.keys() - _WHOLE_BATCH))}, or one process"
    for name in sorted(_WHOLE_BATCH.intersection(names)):
        raise UsageError(
            f"--loss {name}: it sorts the pixels of the whole batch, of which each of "
            f"{num_processes()} processes has a part; {remedy}."
        )


def weights_of_classes(chosen: ChosenLoss, *, device: torch.device) -> Tensor | None:
    """Return the weight of each class, (K,); None if all weigh alike."""
    if chosen.class_weights is None:
        return None
    return torch.tensor(list(chosen.class_weights.values()), device=device)


def build_loss(chosen: ChosenLoss, *, device: torch.device) -> Loss:
    """Build the function to minimise.

    Args:
        chosen: The terms and their numbers.
        device: Where the logits will be.

    Returns:
        The sum of the terms, each with weight 1; a single term is that function's value, unchanged.
    """
    weights = weights_of_classes(chosen, device=device)
    terms = []
    for name, options in chosen.terms.items():
        term = partial(LOSSES[name], **options)
        terms.append(partial(term, class_weights=weights) if name in CLASS_WEIGHTED else term)

    def total(logits: Tensor, target: Tensor, *, ignore_index: int) -> Tensor:
        first, *others = (term(logits, target, ignore_index=ignore_index) for term in terms)
        return sum(others, start=first)

    return total
