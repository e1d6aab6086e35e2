import dataclasses

import pytest
import torch

from autoseg.commands.presets import (
    choose_arch_steps,
    choose_image_scale,
    choose_preset,
    fit_to_images,
)
from autoseg.config import RETRAIN_PRESETS, SEARCH_PRESETS, RetrainPreset


@pytest.mark.parametrize(
    ("asked", "dataset", "device", "expected"),
    [
        ("auto", "synthetic", "cpu", "tiny"),
        ("auto", "synthetic", "cuda", "tiny"),
        ("auto", "camvid", "cpu", "tiny"),
        ("auto", "camvid", "cuda", "paper"),
        ("paper", "synthetic", "cpu", "paper"),
    ],
)
def test_auto_is_the_papers_for_real_images_on_a_gpu(asked, dataset, device, expected):
    assert choose_preset(asked, dataset=dataset, device=torch.device(device)) == expected


def test_tiny_reduces_large_images_alone():
    assert choose_image_scale("tiny", (360, 480)) == pytest.approx(1 / 3)
    assert choose_image_scale("tiny", (96, 128)) == 1
    assert choose_image_scale("paper", (360, 480)) == 1


def test_paper_recipe_is_the_papers():
    # Auto-DeepLab (arXiv 1901.02985), section 5.2: poly schedule from 0.05, crop 769, 1.5 M steps.
    preset = RETRAIN_PRESETS["paper"]
    assert preset.num_steps == 1_500_000
    assert preset.crop_size == (769, 769)
    assert (preset.learning_rate, preset.poly_power) == (0.05, 0.9)
    assert (preset.width, preset.filter_multiplier) == (1.0, 20)
    assert preset == RetrainPreset()  # the defaults are the paper's


def fitted(num_images, size, given=(), **changes):
    recipe = dataclasses.replace(RETRAIN_PRESETS["tiny"], **changes)
    new = fit_to_images(
        recipe, num_images=num_images, largest_size=size, given=given, command="retrain"
    )
    return new.batch_size, new.crop_size


def test_few_and_small_images_get_smaller_batches_and_crops(capsys):
    # The preset: batches of 8, crops of 96 x 96, images enlarged up to 1.5 times.
    assert fitted(100, (200, 300)) == (8, (96, 96))
    assert fitted(8, (64, 64)) == (8, (96, 96))  # 64 * 1.5 = 96: still fits
    assert capsys.readouterr().err == ""
    assert fitted(7, (60, 300)) == (7, (60, 96))
    error = capsys.readouterr().err
    assert error == (
        "retrain: batches of 7, as many as there are images (--batch-size)\n"
        "retrain: crops of 60 x 96 pixels, as large as the images (--crop-size)\n"
    )
    assert fitted(100, (200, 300), image_scale=0.25) == (8, (50, 75))


def test_what_was_given_stays_and_is_refused_later(capsys):
    assert fitted(3, (10, 10), given={"batch_size", "crop_size"}) == (8, (96, 96))
    assert capsys.readouterr().err == ""


def test_few_images_get_the_steps_of_the_preset_and_many_their_epochs(capsys):
    # Section 5.1 of the paper: half of Cityscapes' 2,975 training images at batch 2, 20 of 40
    # epochs with alpha and beta: 20 * 743 steps.
    paper, tiny = SEARCH_PRESETS["paper"], SEARCH_PRESETS["tiny"]
    assert choose_arch_steps("paper", paper, 2975) == 0
    assert choose_arch_steps("tiny", tiny, 512) == 0
    assert capsys.readouterr().err == ""
    assert choose_arch_steps("paper", paper, 367) == 20 * 743
    assert capsys.readouterr().err == (
        "search: 14,860 steps move alpha and beta (--arch-steps), as the preset paper has them on "
        "its own images; 40 epochs of these would have 1,820\n"
    )
    assert choose_arch_steps("tiny", tiny, 16) == 128
