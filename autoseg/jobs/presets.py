"""Which sizes and settings a command starts from, by name."""

from dataclasses import dataclass
from typing import Literal

import torch

from autoseg.training import TrainingConfig

Preset = Literal["auto", "tiny", "paper"]
"""Name of a set of sizes and settings."""


def choose_preset(asked: Preset, *, dataset: str, device: torch.device) -> str:
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


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrainPreset:
    """A recipe, and how large the networks are."""

    training: TrainingConfig
    """The recipe, the same for every network."""
    width: float
    """Factor on the channels of the fixed networks, and of stem and head of a searched one."""
    filter_multiplier: int
    """F of a searched network's cells."""
    drop_path_keep: float
    """p of ScheduledDropPath in a searched network's cells."""


RETRAIN_PRESETS: dict[str, RetrainPreset] = {
    # Auto-DeepLab, section 5.2, for Cityscapes. It does not print the batch size, nor p; 16 is
    # DeepLab's custom, and 0.8 is ours.
    "paper": RetrainPreset(
        training=TrainingConfig(
            num_steps=1_500_000, batch_size=16, crop_size=(769, 769), validate_every=5000
        ),
        width=1.0,
        filter_multiplier=20,
        drop_path_keep=0.8,
    ),
    "tiny": RetrainPreset(
        training=TrainingConfig(
            num_steps=1200,
            batch_size=8,
            crop_size=(96, 96),
            learning_rate=0.1,
            scale_range=(0.75, 1.5),
            validate_every=300,
            val_images=32,
        ),
        width=0.125,
        filter_multiplier=8,
        drop_path_keep=1.0,
    ),
}
"""Settings by name: "paper" as published, "tiny" for minutes on two CPU cores."""
