"""Masks and overlays, pixel by pixel."""

import numpy as np
import pytest

from autoseg.evaluation import colour_mask, overlay

PALETTE = np.array([[10, 20, 30], [200, 0, 255]], dtype=np.uint8)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_each_pixel_takes_its_classs_colour(dtype: type[np.integer]) -> None:
    pred = np.array([[0, 1, 0], [1, 1, 0]], dtype=dtype)
    mask = colour_mask(pred, PALETTE)
    assert mask.dtype == np.uint8
    assert mask.shape == (2, 3, 3)
    for row in range(2):
        for column in range(3):
            assert mask[row, column].tolist() == PALETTE[pred[row, column]].tolist()


@pytest.mark.parametrize("label", [-1, 2, 255])
def test_a_class_without_colour_is_refused(label: int) -> None:
    with pytest.raises(ValueError) as error:
        colour_mask(np.array([[0, label]]), PALETTE)
    assert "the palette has colours for 0 to 1" in str(error.value)
    assert str(label) in str(error.value)


def test_overlay_is_the_rounded_mean() -> None:
    image = np.array([[[0, 100, 255]]], dtype=np.uint8)
    mask = np.array([[[255, 101, 255]]], dtype=np.uint8)
    # 0.3 * 255 = 76.5 in decimals, 76.49999... or 76.5 in binary: rint gives 76 either way.
    assert overlay(image, mask, 0.3).tolist() == [[[76, 100, 255]]]
    assert overlay(image, mask, 0.75).tolist() == [[[191, 101, 255]]]
    assert overlay(image, mask, 0.0).tolist() == image.tolist()
    assert overlay(image, mask, 1.0).tolist() == mask.tolist()


def test_overlay_does_not_change_its_arguments() -> None:
    image, mask = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 200, np.uint8)
    assert overlay(image, mask, 0.5).tolist() == np.full((2, 2, 3), 100).tolist()
    assert image.max() == 0
    assert mask.min() == 200


def test_overlay_refuses_what_cannot_be_laid_over() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    with pytest.raises(ValueError) as error:
        overlay(image, np.zeros((3, 2, 3), np.uint8), 0.5)
    assert "the image is (2, 3, 3) and the mask (3, 2, 3)" in str(error.value)
    with pytest.raises(ValueError, match=r"opacity 1\.5 is outside \[0, 1\]"):
        overlay(image, image, 1.5)
