"""The dice loss by hand, and scipy's Dice dissimilarity where the probabilities are 0 or 1."""

import pytest
import torch
import torch.nn.functional as F
from scipy.spatial.distance import dice

from autoseg.training.loss_functions import dice_loss


def test_by_hand():
    # Two classes, three pixels of which one is ignored: p(class 0) = 0.8 and 0.4, truth 0 and 1.
    p = torch.tensor([0.8, 0.4, 0.1], dtype=torch.float64)
    logits = torch.stack([p, 1 - p]).log().view(1, 2, 1, 3)
    target = torch.tensor([[[0, 1, 7]]])
    class_0 = 2 * 0.8 / (0.8**2 + 0.4**2 + 1)
    class_1 = 2 * 0.6 / (0.2**2 + 0.6**2 + 1)
    expected = ((1 - class_0) + (1 - class_1)) / 2
    assert dice_loss(logits, target, ignore_index=7).item() == pytest.approx(expected, rel=1e-12)


def test_hard_predictions_give_scipys_dissimilarity():
    generator = torch.Generator().manual_seed(1)
    pred = torch.randint(4, (2, 5, 6), generator=generator)
    target = torch.randint(4, (2, 5, 6), generator=generator)
    logits = 1000.0 * F.one_hot(pred, 4).permute(0, 3, 1, 2)  # softmax is 0 or 1 to the last bit
    expected = sum(dice((pred == c).flatten(), (target == c).flatten()) for c in range(4)) / 4
    assert dice_loss(logits, target, ignore_index=7).item() == pytest.approx(expected, rel=1e-6)


def test_a_class_without_truth_is_left_out():
    # Class 2 is predicted, but nowhere true: class 0 alone counts, with all its pixels half missed.
    logits = torch.tensor([0.0, -1000.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    target = torch.zeros(1, 2, 2, dtype=torch.int64)
    expected = 1 - 2 * (4 * 0.5) / (4 * 0.25 + 4)
    assert dice_loss(logits, target, ignore_index=7).item() == pytest.approx(expected, rel=1e-6)
