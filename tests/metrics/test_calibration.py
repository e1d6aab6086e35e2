"""Calibration and confusions against plain loops over pixels."""

import math

import numpy as np
import pytest
import torch

from autoseg.metrics import Calibration, worst_confusions
from autoseg.metrics.calibration import NUM_BINS


def by_plain_loops(images):
    """The definition: pixels in bins (i / n, (i + 1) / n], one after the other."""
    bins = [[] for _ in range(NUM_BINS)]
    for pred, confidence, target in images:
        for p, c, t in zip(
            pred.flatten().tolist(),
            confidence.flatten().tolist(),
            target.flatten().tolist(),
            strict=True,
        ):
            if t != 255:
                place = next(i for i in range(NUM_BINS) if c * NUM_BINS <= i + 1)
                bins[place].append((c, p == t))
    total = sum(map(len, bins))
    error = 0.0
    for inside in filter(None, bins):
        confidence = sum(c for c, _ in inside) / len(inside)
        accuracy = sum(right for _, right in inside) / len(inside)
        error += len(inside) / total * abs(accuracy - confidence)
    return error, [len(inside) for inside in bins]


def test_the_error_is_that_of_plain_loops():
    generator = torch.Generator().manual_seed(0)
    images = []
    for _ in range(3):
        probabilities = torch.rand(4, 6, 7, generator=generator).pow(3).softmax(0)
        confidence, pred = probabilities.max(0)
        target = torch.randint(0, 4, (6, 7), generator=generator)
        target[0, :3] = 255
        images.append((pred, confidence, target))
    # The ends of the range, and an edge between two bins.
    images.append((torch.tensor([[0, 1]]), torch.tensor([[0.0, 1.0]]), torch.tensor([[1, 1]])))
    images.append((torch.tensor([[0]]), torch.tensor([[0.2]]).double(), torch.tensor([[0]])))
    calibration = Calibration(ignore_index=255)
    for image in images:
        calibration.update(*image)
    error, counts = by_plain_loops(images)
    result = calibration.result()
    assert result.error == pytest.approx(error, abs=1e-12)
    assert [count for count, *_ in result.bins] == counts
    assert sum(counts) == 3 * (42 - 3) + 3


def test_calibration_by_hand():
    calibration = Calibration(ignore_index=255)
    pred, confidence = torch.tensor([[1, 1, 0, 0]]), torch.tensor([[0.9, 0.9, 0.5, 0.3]])
    calibration.update(pred, confidence, torch.tensor([[1, 0, 0, 255]]))
    result = calibration.result()
    # At 0.9 half of two are right, at 0.5 all of one.
    assert result.error == pytest.approx((2 * 0.4 + 0.5) / 3)
    assert (result.confidence, result.accuracy) == pytest.approx((2.3 / 3, 2 / 3))
    assert math.isnan(Calibration(ignore_index=255).result().error)


def test_confusions_by_hand():
    counts = np.array([[8, 2, 0], [3, 0, 1], [0, 0, 0]])
    found = [(pair.true, pair.predicted, pair.share) for pair in worst_confusions(counts, limit=9)]
    assert found == [(1, 0, 0.75), (1, 2, 0.25), (0, 1, 0.2)]
    assert len(worst_confusions(counts, limit=1)) == 1
