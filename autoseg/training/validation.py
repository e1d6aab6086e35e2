"""Validation inside a training."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from autoseg.data import SegmentationDataset
from autoseg.evaluation import NonFiniteLogitsError, evaluate
from autoseg.training.divergence import REMEDY, DivergedError


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationScore:
    """How a network did on the validation's images."""

    mean_iou: float
    """In [0, 1]; NaN if no pixel of the images is labelled."""
    pixel_accuracy: float
    """In [0, 1]; NaN if no pixel of the images is labelled."""
    num_averaged: int
    """Classes in the mean."""


def spread_indices(length: int, count: int) -> list[int]:
    """Choose `count` indices evenly spread over `length`; all of them if `count` is 0 or larger."""
    if count == 0 or count >= length:
        return list(range(length))
    return [index * length // count for index in range(count)]


def labelled_indices(dataset: SegmentationDataset, count: int) -> list[int]:
    """Choose images to score a network on, evenly spread, of which at least one has labels.

    Args:
        dataset: The split.
        count: Images to choose; 0 for all.

    Returns:
        Indices, ascending: those of `spread_indices`, unless no pixel of these images is labelled
        and there are others; then images that have labels, evenly spread.

    Warns:
        UserWarning: If other images are taken, or if no image has a labelled pixel, so that every
            score will be undefined.
    """
    chosen = spread_indices(len(dataset), count)
    if any(_has_labels(dataset, index) for index in chosen):  # as a rule the first one read
        return chosen
    place = f"the {dataset.split} split of {dataset.name}"
    labelled = [index for index in range(len(dataset)) if _has_labels(dataset, index)]
    if not labelled:
        warnings.warn(
            f"no pixel of {place} is labelled (all are {dataset.ignore_index}, which is left out): "
            "scores on it are undefined.",
            stacklevel=2,
        )
        return chosen
    others = [labelled[place] for place in spread_indices(len(labelled), count)]
    warnings.warn(
        f"none of the {len(chosen)} images of {place} that were to be scored has a labelled pixel; "
        f"{len(others)} of the {len(labelled)} that have some are taken instead.",
        stacklevel=2,
    )
    return others


def _has_labels(dataset: SegmentationDataset, index: int) -> bool:
    return bool((dataset[index].target != dataset.ignore_index).any())


def validate(
    network: nn.Module,
    dataset: SegmentationDataset,
    *,
    device: torch.device,
    indices: Sequence[int],
    image_scale: float,
    step: int,
    on_image: Callable[[int, int], None] | None = None,
) -> ValidationScore:
    """Score a network on some images, at the labels' resolution.

    Args:
        network: Left in the mode in which it came.
        dataset: The val split.
        device: Where the network is.
        indices: Images to score.
        image_scale: Factor on the images' sides before the network sees them.
        step: Steps of the training that are done, for the message.
        on_image: Called after each image with the number done and in all.

    Raises:
        DivergedError: If the network's output holds NaN, which the loss need not show: its
            running statistics and its last step are seen here first.
    """
    try:
        score = evaluate(
            network,
            dataset,
            device=device,
            indices=indices,
            scales=(image_scale,),
            on_image=on_image,
        ).plain
    except NonFiniteLogitsError as error:
        raise DivergedError(
            f"the network's output holds NaN at the validation after step {step}. {REMEDY}"
        ) from error
    is_defined = score.num_pixels > 0
    return ValidationScore(
        mean_iou=score.mean_iou() if is_defined else math.nan,
        pixel_accuracy=score.pixel_accuracy() if is_defined else math.nan,
        num_averaged=score.num_averaged,
    )
