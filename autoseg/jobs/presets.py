"""Which sizes and settings a command starts from, where the user leaves it open."""

import torch

from autoseg.requests import Preset


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
