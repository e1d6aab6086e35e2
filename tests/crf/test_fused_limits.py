"""The compiled kernels, through `DenseCRF`, at the ends of what it accepts."""

from typing import Any

import pytest
import torch
from torch import Tensor

from autoseg._native import core
from autoseg.crf import DenseCRF, memory
from autoseg.errors import UsageError
from tests.crf.reference import SETTINGS, scene, settings_with

pytestmark = pytest.mark.skipif(core() is None, reason="the compiled kernels are missing")
MODES = ("fast", "accurate")
# float32 through a few updates; between numbers of threads as well.
TOLERANCE = 2e-5


def infer(logits: Tensor, images: Tensor, **settings: Any) -> Tensor:
    with torch.no_grad():
        return DenseCRF(**settings, backend="fused")(logits, images)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("std", [1e8, 1e30, 1e200, 1e300])
def test_huge_deviations_average(mode, std):
    logits = scene(3, (5, 6))[0].float()
    image = torch.full((1, 3, 5, 6), 200, dtype=torch.uint8)
    stds = {"bilateral_xy_std": std, "bilateral_rgb_std": std, "spatial_xy_std": std}

    marginals = infer(logits, image, **SETTINGS | stds, mode=mode)

    # All pairs weigh the same, so that each normalised kernel takes the mean over the pixels.
    expected = logits.double().softmax(dim=1)
    for _ in range(SETTINGS["num_iterations"]):
        mean = expected.mean(dim=(2, 3), keepdim=True)
        expected = (logits + (2.5 + 1.5) * mean).softmax(dim=1)
    assert (marginals - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize("mode", MODES)
def test_strides_do_not_matter(mode):
    logits, image = scene(3, (6, 9))
    # Stored column by column, channels last, with gaps, and one image expanded to two.
    odd_logits = logits.float().transpose(2, 3).contiguous().transpose(2, 3)
    odd_images = image.repeat_interleave(2, dim=3)[..., ::2].to(memory_format=torch.channels_last)

    marginals = infer(
        odd_logits.expand(2, -1, -1, -1), odd_images.expand(2, -1, -1, -1), **SETTINGS, mode=mode
    )

    together = infer(logits.float(), image, **SETTINGS, mode=mode).expand(2, -1, -1, -1)
    assert torch.equal(marginals, together)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_computed_in_float32(dtype):
    logits, image = scene(3, (7, 10))
    rounded = logits.to(dtype)

    marginals = infer(rounded, image, **SETTINGS)

    assert marginals.dtype == torch.float32
    assert torch.equal(marginals, infer(rounded.float(), image, **SETTINGS))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_float_images_of_whole_colours_give_what_8_bits_give(mode, dtype):
    logits, image = scene(3, (9, 8))

    marginals = infer(logits.float(), image.to(dtype), **SETTINGS, mode=mode)

    assert torch.equal(marginals, infer(logits.float(), image, **SETTINGS, mode=mode))


@pytest.mark.parametrize("mode", MODES)
def test_the_number_of_threads_changes_nothing_but_rounding(mode):
    scenes = [scene(5, (31, 45), seed) for seed in (0, 1)]
    logits, images = (torch.cat(parts) for parts in zip(*scenes, strict=True))
    settings = settings_with(spatial_xy_std=3.0, bilateral_rgb_std=20.3)
    before = torch.get_num_threads()
    results = []
    try:
        for num_threads in (1, 2, 3):
            torch.set_num_threads(num_threads)
            first, second = (infer(logits.float(), images, **settings, mode=mode) for _ in range(2))
            assert torch.equal(first, second)
            scores = logits.float().requires_grad_()
            crf = DenseCRF(**settings, mode=mode, backend="fused")
            (crf(scores, images) * logits.cos()).sum().backward()
            assert scores.grad is not None
            results.append((first, scores.grad))
    finally:
        torch.set_num_threads(before)

    for marginals, grad in results[1:]:
        assert (marginals - results[0][0]).abs().max() < TOLERANCE
        assert (grad - results[0][1]).abs().max() < TOLERANCE * results[0][1].abs().max()


def test_what_cannot_fit_is_refused_before_it_is_tried(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda device: 2**30)
    huge = torch.zeros(1, 1, 1, 1).expand(1, 21, 4000, 4000)  # one number
    pixels = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(1, 3, 4000, 4000)

    # The marginals, and 36 bytes a pixel for what the lattice is splatted and sliced with.
    with pytest.raises(UsageError, match=r"needs at least 1\.79 GiB and cpu has 1\.00 GiB left"):
        infer(huge, pixels, **SETTINGS)
