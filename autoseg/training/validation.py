"""Validation inside a training."""

from collections.abc import Callable

import torch
from torch import nn

from autoseg.data import SegmentationDataset
from autoseg.evaluation import Evaluation, evaluate


def spread_indices(length: int, count: int) -> list[int]:
    """Choose `count` indices evenly spread over `length`; all of them if `count` is 0 or larger."""
    if count == 0 or count >= length:
        return list(range(length))
    return [index * length // count for index in range(count)]


def validate(
    network: nn.Module,
    dataset: SegmentationDataset,
    *,
    device: torch.device,
    num_images: int,
    image_scale: float,
    on_image: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score a network on evenly spread images, at the labels' resolution.

    Args:
        network: Left in the mode in which it came.
        dataset: The val split.
        device: Where the network is.
        num_images: Images to score; 0 for all.
        image_scale: Factor on the images' sides before the network sees them.
        on_image: Called after each image with the number done and in all.
    """
    return evaluate(
        network,
        dataset,
        device=device,
        indices=spread_indices(len(dataset), num_images),
        scales=(image_scale,),
        on_image=on_image,
    )
