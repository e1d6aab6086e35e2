"""The focal loss by hand, at gamma 0, and at a probability of exactly 1."""

import math

import pytest
import torch
import torch.nn.functional as F

from autoseg.training.loss_functions import focal_loss


def two_pixels():
    """Both with p = (3/4, 1/4); the first of class 0, the second of class 1."""
    logits = torch.tensor([math.log(3.0), 0.0], dtype=torch.float64)
    return logits.view(1, 2, 1, 1).expand(1, 2, 1, 2), torch.tensor([[[0, 1]]])


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_by_hand(gamma):
    logits, target = two_pixels()
    expected = (0.25**gamma * math.log(4 / 3) + 0.75**gamma * math.log(4)) / 2
    loss = focal_loss(logits, target, ignore_index=7, gamma=gamma)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_the_default_is_the_papers_gamma():
    logits, target = two_pixels()
    expected = (math.log(4 / 3) / 16 + 9 * math.log(4) / 16) / 2
    assert focal_loss(logits, target, ignore_index=7).item() == pytest.approx(expected, rel=1e-12)


def test_class_weights_by_hand():
    logits, target = two_pixels()
    expected = (3 * math.log(4 / 3) / 16 + 2 * 9 * math.log(4) / 16) / (3 + 2)
    loss = focal_loss(logits, target, ignore_index=7, class_weights=torch.tensor([3.0, 2.0]))
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("class_weights", [None, torch.tensor([0.3, 1.0, 4.0, 0.1])])
def test_gamma_0_is_cross_entropy(class_weights):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 3, 5, generator=generator, dtype=torch.float64)
    target = torch.randint(4, (2, 3, 5), generator=generator)
    target[0, 1] = 7
    expected = F.cross_entropy(
        logits,
        target,
        ignore_index=7,
        weight=None if class_weights is None else class_weights.double(),
    )
    loss = focal_loss(logits, target, ignore_index=7, gamma=0.0, class_weights=class_weights)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_a_certain_pixel_has_no_gradient_and_no_nan(gamma):
    # p is 1 in float32, where (1 - p)^0.5 has an infinite slope.
    logits = torch.tensor([200.0, 0.0]).view(1, 2, 1, 1).requires_grad_()
    loss = focal_loss(logits, torch.zeros(1, 1, 1, dtype=torch.int64), ignore_index=7, gamma=gamma)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()
