"""Crops that are large enough for the coarsest stride of a space."""

import math

from autoseg.errors import UsageError
from autoseg.strategies.strategy import SearchTask


def require_crop_for_space(task: SearchTask) -> None:
    """Refuse crops that leave maps of one pixel at the coarsest stride that the space reaches.

    Batch norm over one value an image lets gradients grow a hundredfold at every layer.

    Raises:
        UsageError: With the smallest crop that works, and the scale at which the images hold it.
    """
    config, dataset, space = task.config, task.train_dataset, task.space
    coarsest = space.coarsest_stride
    if min(config.crop_size) > coarsest:
        return
    remedy = f"use a crop of at least {2 * coarsest} on each side"
    scale = 2 * coarsest / min(dataset.largest_size)
    if config.image_scale * config.scale_range[1] < scale:
        height, width = dataset.largest_size
        remedy += (
            f", and, as images of {dataset.name} {dataset.split} are {height} x {width}, "
            f"--image-scale {math.ceil(100 * scale) / 100:g}"
        )
    raise UsageError(
        f"crop_size {config.crop_size} leaves maps of one pixel at stride {coarsest}, over "
        f"which batch norm cannot train; {remedy}."
    )
