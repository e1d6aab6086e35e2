"""Which sizes and settings a command starts from, where the user leaves it open."""

from collections.abc import Collection
from dataclasses import replace
from typing import TypeVar

import torch

from autoseg.cli.console import announce
from autoseg.config import PRESET_ARCH_STEPS, RecipeConfig, SearchConfig
from autoseg.requests import Preset

RecipeT = TypeVar("RecipeT", bound=RecipeConfig)


def choose_preset(asked: Preset, *, dataset: str, device: torch.device) -> Preset:
    """Resolve "auto": the paper's sizes for a real dataset on a GPU, otherwise the tiny ones."""
    if asked != "auto":
        return asked
    return "paper" if dataset != "synthetic" and device.type == "cuda" else "tiny"


TINY_IMAGE_SIDE = 160
"""Longer side, in pixels, to which the tiny preset reduces larger images: its crops of 64 and 96
pixels then show a network enough of the scene."""


def choose_image_scale(preset: str, largest_size: tuple[int, int]) -> float:
    """Choose the factor on the images' sides where the user gave none.

    Args:
        preset: A resolved preset.
        largest_size: Height and width of the dataset's largest image, in pixels.

    Returns:
        1, or in the tiny preset what brings the longer side to at most `TINY_IMAGE_SIDE`.
    """
    return min(1.0, TINY_IMAGE_SIDE / max(largest_size)) if preset == "tiny" else 1.0


def choose_arch_steps(preset: str, config: SearchConfig, num_images: int) -> int:
    """Choose the steps that move alpha and beta where the user gave neither steps nor epochs.

    Few images make short epochs, in which a search decides nothing: the preset's steps count then.

    Args:
        preset: A resolved preset.
        config: The preset's settings, fitted to the images.
        num_images: Images of the train split.

    Returns:
        `config.arch_steps`: 0 where the epochs hold as many steps as those that the preset was made
        for; otherwise that many.
    """
    steps_per_epoch = num_images // 2 // config.batch_size
    num_steps = (config.num_epochs - config.arch_start_epoch) * steps_per_epoch
    wanted = PRESET_ARCH_STEPS[preset]
    if num_steps >= wanted:
        return 0
    announce(
        f"search: {wanted:,} steps move alpha and beta (--arch-steps), as the preset {preset} has "
        f"them on its own images; {config.num_epochs} epochs of these would have {num_steps:,}"
    )
    return wanted


def fit_to_images(
    recipe: RecipeT,
    *,
    num_images: int,
    largest_size: tuple[int, int],
    given: Collection[str],
    command: str,
) -> RecipeT:
    """Reduce a preset's batch and crop where the images are fewer or smaller, and say so.

    Args:
        recipe: The preset, with what the user gave.
        num_images: Images that a batch is drawn from.
        largest_size: Height and width of the largest image, before `image_scale`, in pixels.
        given: Names of the settings that the user gave; they stay, and what does not fit is
            refused later.
        command: "search" or "retrain", for the lines that say so.
    """
    if "batch_size" not in given and 1 <= num_images < recipe.batch_size:
        recipe = replace(recipe, batch_size=num_images)
        announce(f"{command}: batches of {num_images}, as many as there are images (--batch-size)")
    stretched = [round(side * recipe.image_scale * recipe.scale_range[1]) for side in largest_size]
    if "crop_size" not in given and any(
        side > largest for side, largest in zip(recipe.crop_size, stretched, strict=True)
    ):
        height, width = (
            min(crop, round(side * recipe.image_scale))
            for crop, side in zip(recipe.crop_size, largest_size, strict=True)
        )
        recipe = replace(recipe, crop_size=(height, width))
        announce(
            f"{command}: crops of {height} x {width} pixels, as large as the images (--crop-size)"
        )
    return recipe
