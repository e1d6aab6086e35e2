"""What a person should know of the images before a network is trained on them."""

import math

from autoseg.cli.console import announce
from autoseg.config import RecipeConfig, TrainingConfig
from autoseg.data import SegmentationDataset, labelled_indices
from autoseg.data.card import DOMINANT_SHARE, dominance
from autoseg.evaluation import Baselines, measure_baselines


def announce_notes(command: str, *datasets: SegmentationDataset) -> None:
    """Say what was found and guessed of splits that are read from files, each thing once."""
    for note in dict.fromkeys(note for dataset in datasets for note in dataset.notes):
        announce(f"{command}: {note}")


def announce_baselines(
    command: str, train: SegmentationDataset, val: SegmentationDataset, config: RecipeConfig
) -> Baselines:
    """Say which scores need no network, and what helps where one class has nearly all pixels.

    Args:
        command: "search" or "retrain".
        train: The train split.
        val: The val split.
        config: The recipe, which may balance the classes already.
    """
    indices = labelled_indices(val, config.val_images)
    baselines = measure_baselines(train, val, val_indices=indices)
    if not math.isnan(baselines.constant_miou):
        announce(
            f"{command}: val mIoU without a network: {baselines.constant_miou:.4f} by "
            f"{baselines.constant_class} everywhere, {baselines.colour_miou:.4f} by each pixel's "
            "colour alone"
        )
    if baselines.dominant_share > DOMINANT_SHARE and not _balances(config):
        announce(
            f"{command}: {dominance('train', baselines.dominant_class, baselines.dominant_share)}"
        )
    return baselines


def _balances(config: RecipeConfig) -> bool:
    """Tell whether a recipe does something for rare classes."""
    if config.class_uniform > 0 or config.category_cap < 1:
        return True
    if not isinstance(config, TrainingConfig):
        return False
    return config.class_weights is not None or config.loss != ("cross_entropy",)
