"""The image scale acts before the crop, in training as in validation."""

import torch

from autoseg.config import TrainingConfig
from autoseg.data import build_dataset, resize_label
from autoseg.training import augmented_batches


def settings(**changes):
    values = {
        "crop_size": (24, 24),
        "scale_range": (1.0, 1.0),
        "batch_size": 2,
        "seed": 4,
    }
    return TrainingConfig(**values | changes)


def test_image_scale_multiplies_the_random_scale():
    dataset = build_dataset("synthetic", split="train", image_size=(40, 56), length=1)
    halved = settings(crop_size=(20, 28), image_scale=0.25, scale_range=(2.0, 2.0), batch_size=1)
    _, target = next(augmented_batches(dataset, halved))
    # 0.25 * 2: the crop is the whole image at half size, mirrored or not.
    expected = resize_label(dataset[0].target, [20, 28])
    assert torch.equal(target[0], expected) or torch.equal(target[0].flip(-1), expected)


def test_start_step_and_indices_reach_the_loader():
    dataset = build_dataset("synthetic", split="train", image_size=(40, 56), length=6)
    whole = augmented_batches(dataset, settings(), indices=[1, 2, 5])
    later = augmented_batches(dataset, settings(), indices=[1, 2, 5], start_step=1)
    next(whole)
    assert torch.equal(next(whole)[0], next(later)[0])
