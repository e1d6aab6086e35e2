"""Augmentation moves image and label together, and light changes the image alone."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from autoseg.data import IMAGENET_MEAN, IMAGENET_STD, Augmentation, Sample, normalise, resize_label

IGNORE = 9
# One colour a class; an image painted with them encodes its label.
COLOURS = torch.tensor([[10, 200, 90], [250, 30, 60], [120, 120, 5], [60, 70, 240]])


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _painted(target: Tensor) -> Sample:
    image = COLOURS[target].permute(2, 0, 1).to(torch.uint8)  # (H, W, 3) -> (3, H, W)
    return Sample(image, target, "painted")


def _blocks() -> Sample:
    """32 x 48 pixels in blocks of 8 x 8, so that blocks have an inside at every scale."""
    blocks = torch.randint(4, (4, 6), generator=_generator(1))
    return _painted(blocks.repeat_interleave(8, 0).repeat_interleave(8, 1))


def _without_jitter(**fields: Any) -> Augmentation:
    return Augmentation(**{"brightness": 0, "contrast": 0, "saturation": 0, **fields})


def _pixels(image: Tensor) -> Tensor:
    """Undo normalising by hand: float (3, h, w), 0 to 255."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (image * std + mean) * 255


@pytest.mark.parametrize("seed", range(12))
def test_image_and_label_stay_aligned(seed: int) -> None:
    sample = _blocks()
    augmentation = _without_jitter(crop_size=(36, 40), scale_range=(0.6, 1.8))
    image, target = augmentation(sample, _generator(seed), ignore_index=IGNORE)
    assert image.shape == (3, 36, 40)
    assert target.shape == (36, 40)
    # Bilinear resizing mixes colours next to a border between labels, within 1 / 0.6 < 2 pixels;
    # what lies beyond the crop is not known, so its margin counts as a border.
    padded = F.pad(target[None, None].float(), (2, 2, 2, 2), value=-1)
    largest = F.max_pool2d(padded, 5, stride=1)[0, 0]
    smallest = -F.max_pool2d(-padded, 5, stride=1)[0, 0]
    inside = (largest == smallest) & (target != IGNORE)
    assert inside.sum() > 50
    expected = COLOURS[target[inside]].T.float()
    # Float32 rounding of values up to 255, through resizing and normalising.
    torch.testing.assert_close(_pixels(image)[:, inside], expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("seed", range(6))
def test_padding_is_ignored_and_of_the_mean_colour(seed: int) -> None:
    augmentation = Augmentation(crop_size=(50, 64), scale_range=(0.5, 1.0))
    image, target = augmentation(_blocks(), _generator(seed), ignore_index=IGNORE)
    padding = target == IGNORE
    assert (image[:, padding] == 0).all()  # the mean colour, normalised
    rows, columns = (~padding).nonzero().T
    size = (int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1)
    assert int((~padding).sum()) == size[0] * size[1]  # what is left is one rectangle ...
    # ... of the scaled image: both sides follow from one scale, up to rounding.
    assert 16 <= size[0] <= 32
    assert abs(size[0] / 32 - size[1] / 48) <= 0.5 / 32 + 0.5 / 48


def test_full_size_crop_without_changes_is_the_normalised_sample() -> None:
    sample = _blocks()
    still = _without_jitter(crop_size=(32, 48), scale_range=(1, 1), flip_probability=0)
    image, target = still(sample, _generator(0), ignore_index=IGNORE)
    assert torch.equal(image, normalise(sample.image))
    assert torch.equal(target, sample.target)


def test_flip_is_a_mirror_of_both() -> None:
    sample = _blocks()
    flip = _without_jitter(crop_size=(32, 48), scale_range=(1, 1), flip_probability=1)
    image, target = flip(sample, _generator(0), ignore_index=IGNORE)
    np.testing.assert_array_equal(image.numpy(), normalise(sample.image).numpy()[:, :, ::-1])
    np.testing.assert_array_equal(target.numpy(), sample.target.numpy()[:, ::-1])


def test_half_of_the_samples_are_flipped() -> None:
    target = torch.tensor([[0, 1]])
    augmentation = _without_jitter(crop_size=(1, 2), scale_range=(1, 1))
    flips = [
        int(augmentation(_painted(target), _generator(seed), ignore_index=IGNORE)[1][0, 0])
        for seed in range(400)
    ]
    # Binomial(400, 1/2): 200 +- 10; five standard deviations.
    assert abs(sum(flips) - 200) < 50


def test_every_place_of_a_crop_is_equally_likely() -> None:
    sample = _painted(torch.arange(4)[:, None].expand(4, 3).contiguous())
    augmentation = _without_jitter(crop_size=(2, 3), scale_range=(1, 1))
    counts = np.zeros(3)
    for seed in range(600):
        target = augmentation(sample, _generator(seed), ignore_index=IGNORE)[1]
        assert (target[1] == target[0] + 1).all()
        counts[int(target[0, 0])] += 1
    # Each of 3 places: 200 +- 11.5; five standard deviations.
    assert np.abs(counts - 200).max() < 58


def test_every_place_of_a_small_image_in_the_crop_occurs() -> None:
    sample = _painted(torch.zeros(1, 1, dtype=torch.int64))
    augmentation = _without_jitter(crop_size=(2, 3), scale_range=(1, 1))
    places = {
        int(augmentation(sample, _generator(seed), ignore_index=IGNORE)[1].flatten().argmin())
        for seed in range(120)
    }
    assert places == {0, 1, 2, 3, 4, 5}


def test_scales_fill_the_range() -> None:
    sample = _painted(torch.zeros(100, 100, dtype=torch.int64))
    augmentation = _without_jitter(crop_size=(200, 200), scale_range=(0.5, 2.0))
    areas = [
        int((augmentation(sample, _generator(seed), ignore_index=IGNORE)[1] == 0).sum())
        for seed in range(100)
    ]
    scales = np.sqrt(areas) / 100
    assert scales.min() >= 0.5
    assert scales.max() <= 2.0
    # Uniform on [0.5, 2]: mean 1.25, standard error 0.433 / 10; four of them. A log-uniform draw
    # would have mean 1.08.
    assert abs(scales.mean() - 1.25) < 0.17


def test_the_generator_alone_decides() -> None:
    sample, augmentation = _blocks(), Augmentation(crop_size=(20, 24))
    torch.manual_seed(1)
    image, target = augmentation(sample, _generator(5), ignore_index=IGNORE)
    torch.manual_seed(2)
    again, target_again = augmentation(sample, _generator(5), ignore_index=IGNORE)
    other, _ = augmentation(sample, _generator(6), ignore_index=IGNORE)
    assert torch.equal(image, again)
    assert torch.equal(target, target_again)
    assert not torch.equal(image, other)


def _mid_tones(seed: int) -> Sample:
    """Noise between 90 and 160, which no jitter below drives out of [0, 255]."""
    image = torch.randint(90, 160, (3, 6, 7), generator=_generator(seed), dtype=torch.uint8)
    return Sample(image, torch.zeros(6, 7, dtype=torch.int64), "noise")


def _jittered(field: str, seed: int) -> tuple[Tensor, Tensor]:
    """Pixels before and after a jitter of 0.3 in one field, (3, 6, 7) in 0..255."""
    sample = _mid_tones(seed)
    augmentation = _without_jitter(
        crop_size=(6, 7), scale_range=(1, 1), flip_probability=0, **{field: 0.3}
    )
    image, _ = augmentation(sample, _generator(seed), ignore_index=IGNORE)
    return sample.image.float(), _pixels(image)


def _grey(pixels: Tensor) -> Tensor:
    return 0.299 * pixels[0] + 0.587 * pixels[1] + 0.114 * pixels[2]


@pytest.mark.parametrize("seed", range(5))
def test_brightness_multiplies(seed: int) -> None:
    before, after = _jittered("brightness", seed)
    factor = after / before
    assert float(factor.min()) >= 0.7
    assert float(factor.max()) <= 1.3
    # Rounding of float32 at 255, relative to the smallest pixel, 90.
    assert float(factor.max() - factor.min()) < 1e-5
    assert abs(float(factor.mean()) - 1) > 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_contrast_keeps_the_mean_grey(seed: int) -> None:
    before, after = _jittered("contrast", seed)
    mean = _grey(before).mean()
    torch.testing.assert_close(_grey(after).mean(), mean, rtol=1e-5, atol=0)  # float32 sums
    factor = (after - mean).norm() / (before - mean).norm()
    assert 0.7 <= float(factor) <= 1.3
    # Each value rounds at 2e-5 of 255.
    torch.testing.assert_close(after, mean + factor * (before - mean), atol=5e-3, rtol=0)


@pytest.mark.parametrize("seed", range(5))
def test_saturation_keeps_the_grey_of_each_pixel(seed: int) -> None:
    before, after = _jittered("saturation", seed)
    torch.testing.assert_close(_grey(after), _grey(before), atol=1e-3, rtol=0)  # float32 at 255
    factor = (after - _grey(after)).norm() / (before - _grey(before)).norm()
    assert 0.7 <= float(factor) <= 1.3
    assert abs(float(factor) - 1) > 1e-3


def test_jitter_stays_within_the_range_of_an_image() -> None:
    black_and_white = torch.tensor([0, 255], dtype=torch.uint8).repeat(3, 4, 3)
    sample = Sample(black_and_white, torch.zeros(4, 6, dtype=torch.int64), "extremes")
    augmentation = Augmentation(
        crop_size=(4, 6), scale_range=(1, 1), brightness=0.9, contrast=0.9, saturation=0.9
    )
    for seed in range(20):
        pixels = _pixels(augmentation(sample, _generator(seed), ignore_index=IGNORE)[0])
        # 1e-3: float32 rounding of values up to 255.
        assert float(pixels.min()) >= -1e-3
        assert float(pixels.max()) <= 255 + 1e-3


@pytest.mark.parametrize("size", [(5, 7), (10, 14), (3, 4), (1, 1), (13, 5)])
def test_resize_label_takes_the_nearest_centre(size: tuple[int, int]) -> None:
    target = torch.randint(50, (5, 7), generator=_generator(0))
    resized = resize_label(target, list(size))
    for row in range(size[0]):
        for column in range(size[1]):
            # Centres in units of the old pixels, in float64; a tie falls to the right and below.
            y = (row + 0.5) * 5 / size[0]
            x = (column + 0.5) * 7 / size[1]
            distance_y = np.abs(np.arange(5) + 0.5 - y)
            distance_x = np.abs(np.arange(7) + 0.5 - x)
            nearest_y = len(distance_y) - 1 - int(distance_y[::-1].argmin())
            nearest_x = len(distance_x) - 1 - int(distance_x[::-1].argmin())
            assert resized[row, column] == target[nearest_y, nearest_x]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crop_size": (0, 5)}, r"crop_size \(0, 5\) must be at least \(1, 1\)"),
        ({"scale_range": (2.0, 0.5)}, r"scale_range \(2.0, 0.5\) must hold 0 < smallest"),
        ({"scale_range": (0.0, 0.5)}, r"scale_range \(0.0, 0.5\) must hold 0 < smallest"),
        ({"flip_probability": 1.5}, r"flip_probability 1.5 must lie in \[0, 1\]"),
        ({"contrast": 1.0}, r"contrast 1.0 must lie in \[0, 1\); at 1 the image could turn"),
        ({"brightness": -0.1}, r"brightness -0.1 must lie in \[0, 1\)"),
    ],
)
def test_impossible_settings_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augmentation(**{"crop_size": (4, 4), **fields})
