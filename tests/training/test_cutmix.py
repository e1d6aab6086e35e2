"""Pixels and labels of a mixed batch, and how large the rectangles are."""

import math

import pytest
import torch
from torch import Tensor

from autoseg.training.cutmix import cutmix


def _batch() -> tuple[Tensor, Tensor]:
    """Three images, each of one value that is its label as well."""
    target = torch.arange(3).view(3, 1, 1).expand(3, 20, 30).contiguous()
    return target[:, None].float().expand(3, 3, 20, 30).contiguous(), target


def _mix(seed: int, probability: float = 1.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return cutmix(*_batch(), generator, probability=probability)


@pytest.mark.parametrize("seed", range(20))
def test_labels_go_with_their_pixels_in_one_rectangle(seed: int) -> None:
    images, target = _mix(seed)
    assert torch.equal(images, target[:, None].float().expand_as(images))
    changed = target != _batch()[1]
    assert torch.equal(changed[0], changed[1])
    assert torch.equal(changed[0], changed[2])
    # What was pasted is the image before it in the batch.
    for index in range(3):
        assert (target[index][changed[index]] == (index - 1) % 3).all()
    rows, columns = changed[0].any(1), changed[0].any(0)
    assert int(changed[0].sum()) == int(rows.sum()) * int(columns.sum())


def test_the_given_batch_is_not_changed() -> None:
    images, target = _batch()
    cutmix(images, target, torch.Generator().manual_seed(0), probability=1)
    assert torch.equal(images, _batch()[0])
    assert torch.equal(target, _batch()[1])


def test_the_area_is_the_published_ones() -> None:
    areas = [float((_mix(seed)[1][1] == 0).float().mean()) for seed in range(3000)]
    # A side s around a uniform centre keeps s - s^2 / 4 on average; s = sqrt(u) on both axes:
    # E[(sqrt(u) - u / 4)^2] = 1/2 - (1/2) * (2/5) + 1/48.
    expected = 1 / 2 - 1 / 5 + 1 / 48
    error = torch.tensor(areas).std().item() / math.sqrt(len(areas))
    # Five standard errors, and what rounding to whole pixels may move.
    assert abs(sum(areas) / len(areas) - expected) < 5 * error + 0.005


def test_probability_is_the_share_of_mixed_batches() -> None:
    generator = torch.Generator().manual_seed(1)
    given = _batch()
    mixed = [cutmix(*given, generator, probability=0.3)[0] is not given[0] for _ in range(2000)]
    # Binomial(2000, 0.3): 600 +- 20.5; five standard deviations.
    assert abs(sum(mixed) - 600) < 103
