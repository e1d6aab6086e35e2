"""Losses against sums over pixels written out."""

import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from autoseg.training import cross_entropy, segmentation_loss


class Output(NamedTuple):
    logits: Tensor
    auxiliary: tuple[Tensor, ...]
    weights: tuple[float, ...]


def naive_cross_entropy(logits, target, ignore_index):
    total, count = 0.0, 0
    num_images, _, height, width = logits.shape
    for n in range(num_images):
        for y in range(height):
            for x in range(width):
                label = int(target[n, y, x])
                if label != ignore_index:
                    scores = logits[n, :, y, x].tolist()
                    total += math.log(sum(math.exp(s) for s in scores)) - scores[label]
                    count += 1
    return total / max(count, 1)


def random_case(height, width, *, classes=3, ignore_index=7):
    torch.manual_seed(height)
    target = torch.randint(classes, (2, height, width))
    target[torch.rand(target.shape) < 0.3] = ignore_index
    return torch.randn(2, classes, height, width), target


def test_cross_entropy_averages_over_the_pixels_that_count():
    logits, target = random_case(4, 5)
    expected = naive_cross_entropy(logits, target, 7)
    assert cross_entropy(logits, target, ignore_index=7).item() == pytest.approx(expected, rel=1e-5)


def test_an_image_without_labels_gives_zero_and_no_gradient():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 2, 2), 7), ignore_index=7)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_auxiliary_maps_are_compared_with_the_subsampled_label():
    logits, target = random_case(6, 8)
    auxiliary = torch.randn(2, 3, 3, 4)
    loss = segmentation_loss(Output(logits, (auxiliary,), (0.4,)), target, ignore_index=7)
    # Halved, the nearest pixel of output (y, x) is the one after the exact centre: (2y+1, 2x+1).
    small = target[:, 1::2, 1::2]
    expected = naive_cross_entropy(logits, target, 7) + 0.4 * naive_cross_entropy(
        auxiliary, small, 7
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_plain_logits_have_no_auxiliary_loss():
    logits, target = random_case(3, 4)
    assert torch.equal(
        segmentation_loss(logits, target, ignore_index=7),
        cross_entropy(logits, target, ignore_index=7),
    )
