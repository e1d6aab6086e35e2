import pytest
import torch

from autoseg.config import RETRAIN_PRESETS, RetrainPreset
from autoseg.jobs.presets import choose_image_scale, choose_preset


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
