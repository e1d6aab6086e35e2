"""Hard pixels chosen by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from autoseg.training.loss_functions import ohem_cross_entropy


def pixels(*probabilities, labels=None):
    """One row of pixels with two classes; each has its true class with the given probability."""
    labels = torch.tensor(labels or [0] * len(probabilities))
    true = torch.tensor(probabilities, dtype=torch.float64)
    both = torch.stack([torch.where(labels == c, true, 1 - true) for c in (0, 1)])
    return both.log().view(1, 2, 1, -1), labels.view(1, 1, -1)


def mean_loss(*probabilities):
    return sum(-math.log(p) for p in probabilities) / len(probabilities)


@pytest.mark.parametrize(
    ("threshold", "min_kept", "kept"),
    [
        (0.7, 0.0, (0.3, 0.6)),
        (0.7, 0.5, (0.3, 0.6)),  # two of four are hard anyway
        (0.7, 0.51, (0.3, 0.6, 0.8)),  # 2.04 pixels, at least
        (0.7, 0.75, (0.3, 0.6, 0.8)),
        (0.7, 1.0, (0.3, 0.6, 0.8, 0.9)),
        (0.5, 0.0, (0.3,)),
        (0.95, 0.0, (0.3, 0.6, 0.8, 0.9)),
        (0.1, 0.25, (0.3,)),
        (1.0, 0.0, (0.3, 0.6, 0.8, 0.9)),
    ],
)
def test_by_hand(threshold, min_kept, kept):
    logits, target = pixels(0.9, 0.3, 0.8, 0.6)
    loss = ohem_cross_entropy(
        logits, target, ignore_index=7, threshold=threshold, min_kept=min_kept
    )
    assert loss.item() == pytest.approx(mean_loss(*kept), rel=1e-12)


def test_a_pixel_at_the_threshold_is_hard():
    # Logits (0, 0): p is exactly 1/2, and log(1/2) is -log(2) in float64 too.
    logits, target = torch.zeros(1, 2, 1, 1, dtype=torch.float64), torch.zeros(1, 1, 1).long()
    loss = ohem_cross_entropy(logits, target, ignore_index=7, threshold=0.5, min_kept=0.0)
    assert loss.item() == pytest.approx(math.log(2), rel=1e-12)


def test_no_hard_pixel_gives_zero_and_no_gradient():
    logits, target = pixels(0.9, 0.8)
    logits.requires_grad_()
    loss = ohem_cross_entropy(logits, target, ignore_index=7, threshold=0.7, min_kept=0.0)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_easy_pixels_have_no_gradient():
    logits, target = pixels(0.9, 0.3, 0.8, 0.6)
    logits.requires_grad_()
    ohem_cross_entropy(logits, target, ignore_index=7, threshold=0.7, min_kept=0.0).backward()
    has_gradient = (logits.grad != 0).any(dim=1).flatten()
    assert has_gradient.tolist() == [False, True, False, True]


def test_ignored_pixels_do_not_count_in_the_share():
    logits, target = pixels(0.9, 0.3, 0.8, 0.6)
    target[0, 0, 1] = target[0, 0, 3] = 7  # the two hard ones
    loss = ohem_cross_entropy(logits, target, ignore_index=7, threshold=0.7, min_kept=0.5)
    assert loss.item() == pytest.approx(mean_loss(0.8), rel=1e-12)  # one of two


def test_pixels_as_hard_as_the_last_one_are_kept_with_it():
    logits, target = torch.zeros(1, 2, 1, 4, dtype=torch.float64), torch.zeros(1, 1, 4).long()
    logits.requires_grad_()
    ohem_cross_entropy(logits, target, ignore_index=7, threshold=0.1, min_kept=0.25).backward()
    assert (logits.grad != 0).all()


def test_class_weights_weigh_the_kept_pixels_and_do_not_choose_them():
    logits, target = pixels(0.9, 0.3, 0.8, 0.6, labels=[1, 1, 1, 0])
    loss = ohem_cross_entropy(
        logits,
        target,
        ignore_index=7,
        threshold=0.7,
        min_kept=0.0,
        class_weights=torch.tensor([2.0, 100.0]),
    )
    expected = (100 * -math.log(0.3) + 2 * -math.log(0.6)) / 102
    assert loss.item() == pytest.approx(expected, rel=1e-7)  # the weights are float32


def test_the_defaults_are_a_threshold_of_07_and_a_sixteenth():
    # 32 labelled pixels, one below 0.7: a sixteenth is two.
    logits, target = pixels(0.69, *(0.9 - 0.005 * i for i in range(31)))
    easiest_kept = 0.9 - 0.005 * 30
    loss = ohem_cross_entropy(logits, target, ignore_index=7)
    assert loss.item() == pytest.approx(mean_loss(0.69, easiest_kept), rel=1e-12)


def test_threshold_1_is_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    logits = 20 * torch.randn(2, 4, 3, 5, generator=generator)  # some p are exactly 1
    target = torch.randint(4, (2, 3, 5), generator=generator)
    target[0, 1] = 7
    expected = F.cross_entropy(logits, target, ignore_index=7)
    loss = ohem_cross_entropy(logits, target, ignore_index=7, threshold=1.0, min_kept=0.0)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
