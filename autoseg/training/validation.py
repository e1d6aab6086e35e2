"""Validation inside a training."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from autoseg.config import RecipeConfig
from autoseg.data import SegmentationDataset
from autoseg.distributed import num_processes
from autoseg.evaluation import NonFiniteLogitsError, evaluate
from autoseg.training.divergence import DivergedError

MAX_LOGITS = 2**24
"""Numbers in the logits of images that are predicted together, at the labels' size: 64 MiB."""


def pixels_together(config: RecipeConfig, *, num_classes: int) -> int:
    """Choose how many pixels a network sees at once when it is validated.

    Four times those of a training step: no map is kept for a backward pass, of which a training
    keeps many, so that this takes less memory.

    Args:
        config: Batch, crop and scale of the training.
        num_classes: K; the logits have the labels' size, however small the images are seen.
    """
    trained = 4 * config.batch_size // num_processes() * math.prod(config.crop_size)
    return min(trained, int(MAX_LOGITS / num_classes * config.image_scale**2))


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationScore:
    """How a network did on the validation's images."""

    mean_iou: float
    """Mean IoU in [0, 1]; NaN if no pixel of the images is labelled."""
    pixel_accuracy: float
    """Share of the labelled pixels that are right, in [0, 1]; NaN if there is none."""
    num_averaged: int
    """Classes in the mean."""
    doubt: str | None
    """Why the score is no achievement, in words; None if it is one."""


def validate(
    network: nn.Module,
    dataset: SegmentationDataset,
    *,
    device: torch.device,
    indices: Sequence[int],
    image_scale: float,
    step: int,
    batch_pixels: int = 0,
    colour_miou: float | None = None,
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
        batch_pixels: Pixels that `evaluate` takes together; see `pixels_together`.
        colour_miou: Mean IoU that each pixel's colour alone has, where it was measured.
        on_image: Called after each image with the number done and in all.

    Raises:
        DivergedError: If the network's output holds NaN, which the loss need not show: its
            running statistics and its last step are seen here first.
    """
    try:
        evaluation = evaluate(
            network,
            dataset,
            device=device,
            indices=indices,
            scales=(image_scale,),
            batch_pixels=batch_pixels,
            on_image=on_image,
        )
    except NonFiniteLogitsError as error:
        raise DivergedError(
            f"the network's output holds NaN at the validation after step {step}."
        ) from error
    score = evaluation.plain
    is_defined = score.num_pixels > 0
    return ValidationScore(
        mean_iou=score.mean_iou() if is_defined else math.nan,
        pixel_accuracy=score.pixel_accuracy() if is_defined else math.nan,
        num_averaged=score.num_averaged,
        doubt=evaluation.doubt(dataset.class_names, colour_miou=colour_miou),
    )
