"""The CRF at the ends of what it accepts, against cases that can be worked out by hand."""

import math
from typing import Any

import pytest
import torch

from autoseg.crf import DenseCRF
from tests.crf.reference import SETTINGS, marginals_by_loops, scene

MODES = ("fast", "accurate", "exact", "local")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("normalisation", ["symmetric", "before", "after"])
def test_one_pixel_gets_its_own_message_alone(mode, normalisation):
    logits = torch.tensor([1.0, -0.5, 0.25], dtype=torch.float64).view(1, 3, 1, 1)
    image = torch.tensor([10, 200, 90], dtype=torch.uint8).view(1, 3, 1, 1)

    marginals = DenseCRF(**SETTINGS, normalisation=normalisation, mode=mode)(logits, image)

    # Every normalised kernel is the matrix (1), so that messages are the weights times Q.
    expected = logits.softmax(dim=1)
    for _ in range(SETTINGS["num_iterations"]):
        expected = (logits + (2.5 + 1.5) * expected).softmax(dim=1)
    torch.testing.assert_close(marginals, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 17), (13, 1)])
@pytest.mark.parametrize(("mode", "radius"), [("exact", math.inf), ("local", 5)])
def test_one_row_or_column(size, mode, radius):
    logits, image = scene(3, size)

    marginals = DenseCRF(**SETTINGS, mode=mode).double()(logits, image)

    expected = marginals_by_loops(logits[0], image[0], SETTINGS, radius=radius)
    torch.testing.assert_close(marginals[0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", [(1, 17), (13, 1)])
@pytest.mark.parametrize("mode", ["fast", "accurate"])
def test_one_row_or_column_on_the_lattice(size, mode):
    logits, image = scene(3, size)

    marginals = DenseCRF(**SETTINGS, mode=mode).double()(logits, image)

    exact = DenseCRF(**SETTINGS, mode="exact").double()(logits, image)
    # 0.0001 to 0.0004 on these two, of 0.05 that the CRF changes.
    assert (marginals - exact).abs().mean() < 1e-3
    assert (exact - logits.softmax(dim=1)).abs().mean() > 0.04


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("colour", [0, 255])
def test_an_image_of_one_colour_under_huge_deviations_is_averaged(mode, colour):
    logits, _ = scene(3, (5, 6))  # all within the window of `local`
    image = torch.full((1, 3, 5, 6), colour, dtype=torch.uint8)
    stds: dict[str, Any] = {
        "bilateral_xy_std": 1e30,
        "bilateral_rgb_std": 1e200,
        "spatial_xy_std": 1e300,
    }
    settings: dict[str, Any] = SETTINGS | stds

    marginals = DenseCRF(**settings, mode=mode).double()(logits, image)

    # All pairs weigh the same, so that each normalised kernel takes the mean over the pixels.
    expected = logits.softmax(dim=1)
    for _ in range(SETTINGS["num_iterations"]):
        mean = expected.mean(dim=(2, 3), keepdim=True)
        expected = (logits + (2.5 + 1.5) * mean).softmax(dim=1)
    torch.testing.assert_close(marginals, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("mode", MODES)
def test_an_image_of_one_colour_is_smoothed(mode):
    logits, _ = scene(3, (11, 14))
    image = torch.full((1, 3, 11, 14), 127, dtype=torch.uint8)

    marginals = DenseCRF(**SETTINGS, mode=mode).double()(logits, image)

    radius = 5 if mode == "local" else math.inf
    expected = marginals_by_loops(logits[0], image[0], SETTINGS, radius=radius)
    # The lattice is off by what its filter differs from a Gaussian.
    bound = 1e-10 if mode in ("exact", "local") else 4e-3
    assert (marginals[0] - expected).abs().mean() < bound


@pytest.mark.parametrize("mode", MODES)
def test_two_labels_are_one_probability(mode):
    logits, image = scene(2, (8, 7))
    crf = DenseCRF(**SETTINGS, mode=mode).double()

    # Only the difference of two scores counts; swapping the labels swaps the probabilities.
    difference = logits[:, 1:] - logits[:, :1]
    first = crf(torch.cat([torch.zeros_like(difference), difference], dim=1), image)

    torch.testing.assert_close(first, crf(logits, image), rtol=0, atol=1e-12)
    torch.testing.assert_close(crf(logits.flip(1), image).flip(1), first, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_labels_that_are_out_of_the_question_change_nothing(mode):
    logits, image = scene(3, (6, 7))
    crf = DenseCRF(**SETTINGS, mode=mode).double()
    padded = torch.full((1, 150, 6, 7), -1e4, dtype=torch.float64)
    padded[:, [0, 70, 149]] = logits

    marginals = crf(padded, image)

    torch.testing.assert_close(marginals[:, [0, 70, 149]], crf(logits, image), rtol=0, atol=1e-12)
    assert marginals.sum(dim=1).sub(1).abs().max() < 1e-12


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_classes", [2, 150])
def test_certain_logits_stay_certain(mode, num_classes):
    labels = scene(num_classes, (6, 7))[0].argmax(dim=1)
    image = scene(2, (6, 7))[1]
    logits = torch.full((1, num_classes, 6, 7), -1e4).scatter(1, labels[:, None], 1e4)
    crf = DenseCRF(**SETTINGS, mode=mode)

    marginals = crf(logits, image)

    # Messages are at most the sum of the weights times 2, against a difference of 20000.
    assert torch.equal(marginals, (logits > 0).float())
    (marginals * torch.randn_like(marginals)).sum().backward()
    assert crf.bilateral_weight.grad is not None
    assert crf.bilateral_weight.grad == 0
