"""Auxiliary classifiers: each map against the label at its own resolution."""

from functools import partial
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from autoseg.training.loss_functions import cross_entropy, dice_loss, segmentation_loss


class Output(NamedTuple):
    logits: Tensor
    auxiliary: tuple[Tensor, ...]
    weights: tuple[float, ...]


def random_case():
    torch.manual_seed(6)
    target = torch.randint(3, (2, 6, 8))
    target[torch.rand(target.shape) < 0.3] = 7
    return torch.randn(2, 3, 6, 8), torch.randn(2, 3, 3, 4), target


def torch_mean(logits, target, **options):
    return F.cross_entropy(logits, target, ignore_index=7, **options).item()


# Halved, the nearest pixel of output (y, x) is the one after the exact centre: (2y+1, 2x+1).
HALF = (slice(None), slice(1, None, 2), slice(1, None, 2))


def test_auxiliary_maps_are_compared_with_the_subsampled_label():
    logits, auxiliary, target = random_case()
    loss = segmentation_loss(Output(logits, (auxiliary,), (0.4,)), target, ignore_index=7)
    expected = torch_mean(logits, target) + 0.4 * torch_mean(auxiliary, target[HALF])
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_class_weights_reach_every_map():
    logits, auxiliary, target = random_case()
    weights = torch.tensor([0.1, 1.0, 5.0])
    loss = segmentation_loss(
        Output(logits, (auxiliary, auxiliary), (0.4, 0.16)),
        target,
        ignore_index=7,
        loss=partial(cross_entropy, class_weights=weights),
    )
    expected = torch_mean(logits, target, weight=weights)
    expected += (0.4 + 0.16) * torch_mean(auxiliary, target[HALF], weight=weights)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_any_loss_guides_the_auxiliary_maps():
    _, auxiliary, target = random_case()
    # A perfect output and a perfect half map leave the other half map's loss alone.
    perfect = 100.0 * F.one_hot(target % 7, 3).permute(0, 3, 1, 2)
    half = 100.0 * F.one_hot(target[HALF] % 7, 3).permute(0, 3, 1, 2)
    output = Output(perfect, (half, auxiliary), (0.4, 0.16))
    loss = segmentation_loss(output, target, ignore_index=7, loss=dice_loss)
    expected = 0.0
    is_labelled = target[HALF] != 7
    for c in range(3):
        p, g = auxiliary.softmax(1)[:, c][is_labelled], (target[HALF] == c)[is_labelled].float()
        expected += 0.16 / 3 * (1 - 2 * (p @ g) / (p @ p + g @ g)).item()
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_plain_logits_have_no_auxiliary_loss():
    logits, _, target = random_case()
    assert torch.equal(
        segmentation_loss(logits, target, ignore_index=7),
        cross_entropy(logits, target, ignore_index=7),
    )
