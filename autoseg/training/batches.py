"""Augmented batches of a search or a training."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from autoseg.config import RecipeConfig, TrainingConfig
from autoseg.data import (
    Augmentation,
    CropRule,
    SegmentationDataset,
    batch_generator,
    training_batches,
)
from autoseg.distributed import own_positions
from autoseg.training.cutmix import cutmix


def augmented_batches(
    dataset: SegmentationDataset,
    config: RecipeConfig,
    *,
    indices: Sequence[int] | None = None,
    start_step: int = 0,
    colour_jitter: float = 0.25,
    is_whole: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Give batches without end, or this process's share of each; see `training_batches`.

    Args:
        dataset: The train split.
        config: Sizes, scales, seed.
        indices: The images to use; None for all.
        start_step: Number of the first batch given.
        colour_jitter: Strength of the changes of brightness, contrast and saturation.
        is_whole: Whether each process gets the whole batch.

    Raises:
        UsageError: At the call, if batch or crop do not fit the images, or the processes cannot
            share the batch evenly.
    """
    smallest, largest = config.scale_range
    own = own_positions(config.batch_size)
    return training_batches(
        dataset,
        indices=indices,
        augmentation=Augmentation(
            crop_size=config.crop_size,
            scale_range=(smallest * config.image_scale, largest * config.image_scale),
            brightness=colour_jitter,
            contrast=colour_jitter,
            saturation=colour_jitter,
            crop_rule=CropRule(
                class_uniform=config.class_uniform, category_cap=config.category_cap
            ),
        ),
        batch_size=config.batch_size,
        seed=config.seed,
        start_step=start_step,
        num_workers=config.num_workers,
        positions=slice(None) if is_whole else own,
    )


def retraining_batches(
    dataset: SegmentationDataset, config: TrainingConfig, *, start_step: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Give the batches of a recipe: augmented ones, or the images themselves with `overfit`.

    Args:
        dataset: What to train on.
        config: The recipe.
        start_step: Number of the first batch given.

    Raises:
        UsageError: At the call, if batch or crop do not fit the images.
    """
    if config.overfit is None:
        batches = augmented_batches(
            dataset,
            config,
            start_step=start_step,
            colour_jitter=config.colour_jitter,
            is_whole=config.cutmix > 0,  # each image may get a part of any other
        )
        return _mixed(batches, config, start_step=start_step) if config.cutmix > 0 else batches
    return training_batches(
        dataset,
        augmentation=Augmentation(
            crop_size=config.crop_size,
            scale_range=(config.image_scale, config.image_scale),
            flip_probability=0,
            brightness=0,
            contrast=0,
            saturation=0,
        ),
        batch_size=config.batch_size,
        seed=config.seed,
        start_step=start_step,
        num_workers=config.num_workers,
        positions=own_positions(config.batch_size),
    )


def _mixed(
    batches: Iterator[tuple[Tensor, Tensor]], config: TrainingConfig, *, start_step: int
) -> Iterator[tuple[Tensor, Tensor]]:
    for step, (images, target) in enumerate(batches, start=start_step):
        generator = batch_generator(config.seed, step)
        images, target = cutmix(images, target, generator, probability=config.cutmix)
        own = own_positions(config.batch_size)
        yield images[own], target[own]
