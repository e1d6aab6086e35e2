"""The sanity check of a network: a few images that it is both trained on and scored on.

A network that can learn at all learns a few images by heart. One that does not has a fault: a part
that receives no gradient, weights that start wrong, statistics that differ between training and
prediction. A high score here says that such a fault is unlikely, and nothing about other images.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import TypeVar

from torch import nn

from autoseg.config import TrainingConfig
from autoseg.data import SegmentationDataset, Subset, spread_indices
from autoseg.errors import UsageError

RecipeT = TypeVar("RecipeT", bound=TrainingConfig)

_DECIDED = (  # by the check itself
    *("crop_size", "scale_range", "val_images"),
    *("class_uniform", "category_cap", "colour_jitter", "cutmix"),
)


def overfit_images(dataset: SegmentationDataset, num_images: int) -> SegmentationDataset:
    """Choose the images of the check: evenly spread, for neighbours in a video are alike.

    Args:
        dataset: The train split.
        num_images: N of `--overfit N`.

    Raises:
        UsageError: If the split has fewer images.
    """
    if num_images > len(dataset):
        raise UsageError(
            f"--overfit {num_images}: the {dataset.split} split of {dataset.name} has "
            f"{len(dataset)} images; use --overfit {len(dataset)} or less."
        )
    return Subset(dataset, spread_indices(len(dataset), num_images))


def overfit_recipe(
    training: RecipeT,
    *,
    given: Collection[str],
    num_images: int,
    image_size: tuple[int, int],
) -> RecipeT:
    """Change a recipe so that a network sees a few whole images, always the same.

    The images make one batch where the recipe's batch is as large: the statistics that batch norm
    keeps for prediction are then those that it trained with.

    Args:
        training: The recipe of the preset.
        given: Names of the settings that the user gave.
        num_images: N of `--overfit N`.
        image_size: Height and width of the largest image, after image_scale, in pixels.

    Raises:
        UsageError: If the user gave what the check decides.
    """
    for name in _DECIDED:
        if name in given:
            raise UsageError(
                f"--overfit {num_images} trains on whole images without augmentation and validates "
                f"on the same ones; leave --{name.replace('_', '-')} out."
            )
    training = replace(training, overfit=num_images)  # refuses less than one image
    return replace(
        training,
        batch_size=min(training.batch_size, num_images),
        crop_size=image_size,
        scale_range=(1.0, 1.0),
        val_images=0,
    )


def without_dropout_(network: nn.Module) -> None:
    """Switch off dropout, whose purpose is to prevent what the check asks for."""
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0


def overfit_note(num_images: int) -> str:
    """Say what the score of such a run is."""
    images = "the 1 image" if num_images == 1 else f"the {num_images} images"
    return (
        f"a sanity check (--overfit {num_images}), no result: scored on {images} of the train "
        "split that it was trained on"
    )
