"""Scores against torchmetrics, with the bands around borders by SciPy.

Both are right where no class is predicted that the truth does not have: torchmetrics' mean accuracy
counts such a class as 0, ours is over the classes of the truth.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import ndimage

from autoseg.metrics import Calibration, ConfusionMatrix, border_scores

functional = pytest.importorskip("torchmetrics.functional.classification")

K, VOID = 5, 255
SIZES = ((40, 53), (31, 60))


@pytest.fixture(scope="module")
def images():
    """Probabilities (K, H, W) and truth of each image; class 4 occurs nowhere, void does."""
    generator = np.random.default_rng(0)
    pairs = []
    for height, width in SIZES:
        cells = generator.integers(0, 4, (height // 8 + 1, width // 8 + 1))
        truth = cells.repeat(8, 0).repeat(8, 1)[:height, :width].copy()
        logits = generator.normal(size=(K, height, width)) + 2 * np.eye(K)[:, np.roll(truth, 2, 1)]
        logits[4] = -9
        truth[generator.random(truth.shape) < 0.05] = VOID
        pairs.append((torch.from_numpy(logits).softmax(0), torch.from_numpy(truth)))
    return pairs


@pytest.fixture(scope="module")
def flat(images):
    """Probabilities (N, K) and truth (N,) of all pixels."""
    probabilities = torch.cat([each.flatten(1).T for each, _ in images])
    return probabilities, torch.cat([truth.flatten() for _, truth in images])


def test_scores_of_all_pixels(images, flat):
    confusion = ConfusionMatrix(K, VOID)
    for probabilities, truth in images:
        confusion.update(probabilities.argmax(0), truth)
    settings = {"num_classes": K, "ignore_index": VOID}
    iou, accuracy = functional.multiclass_jaccard_index, functional.multiclass_accuracy
    expected = {
        "mean_iou": iou(*flat, average="macro", **settings),
        "frequency_weighted_iou": iou(*flat, average="weighted", **settings),
        "mean_accuracy": accuracy(*flat, average="macro", **settings),
        "pixel_accuracy": accuracy(*flat, average="micro", **settings),
    }
    assert len({round(value.item(), 3) for value in expected.values()}) == 4
    for name, value in expected.items():
        assert getattr(confusion, name)() == pytest.approx(value.item(), abs=1e-6), name


def test_the_calibration_error(images, flat):
    calibration = Calibration(VOID)
    for probabilities, truth in images:
        sure, pred = probabilities.max(0)
        calibration.update(pred, sure, truth)
    expected = functional.multiclass_calibration_error(
        *flat, num_classes=K, n_bins=15, norm="l1", ignore_index=VOID
    )
    assert calibration.result().error == pytest.approx(expected.item(), abs=1e-6)


def near_border(truth: np.ndarray, width: int) -> np.ndarray:
    """Pixels within so many rows and columns of one with another label."""
    near = np.zeros(truth.shape, bool)
    for label in set(truth.flat) - {VOID}:
        is_there = ndimage.maximum_filter(truth == label, 2 * width + 1, mode="constant", cval=0)
        near |= is_there & (truth != label)
    return near


def near_void(truth: np.ndarray, width: int) -> np.ndarray:
    return ndimage.maximum_filter(truth == VOID, 2 * width + 1, mode="constant", cval=0)


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("band", [near_border, near_void])
def test_the_iou_within_a_trimap(
    images, width: int, band: Callable[[np.ndarray, int], np.ndarray]
) -> None:
    around = {near_border: "borders", near_void: "void"}[band]
    (score,) = (each for each in border_scores(K, VOID, trimap=(width,)) if around in each.heading)
    preds, truths = [], []
    for probabilities, truth in images:
        score.update(probabilities.argmax(0), truth)
        is_near = torch.from_numpy(band(truth.numpy(), width))
        preds.append(probabilities.argmax(0).flatten())
        truths.append(torch.where(is_near, truth, VOID).flatten())
    expected = functional.multiclass_jaccard_index(
        torch.cat(preds), torch.cat(truths), num_classes=K, ignore_index=VOID, average="macro"
    )
    assert score.mean() == pytest.approx(expected.item(), abs=1e-6)


def test_the_boundary_iou(images) -> None:
    (score,) = border_scores(K, VOID, boundary_iou=True)
    bands: list[list[torch.Tensor]] = [[] for _ in range(2 * K)]
    for probabilities, truth in images:
        pred = probabilities.argmax(0)
        score.update(pred, truth)
        width = max(1, round(0.02 * math.hypot(*truth.shape)))
        for side, labels in enumerate((torch.where(truth == VOID, VOID, pred), truth)):
            for label in range(K):
                mask = labels.numpy() == label
                kept = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=width)
                bands[2 * label + side].append(torch.from_numpy(mask & ~kept).flatten().int())
    expected = [
        functional.binary_jaccard_index(*(torch.cat(bands[2 * k + side]) for side in (0, 1))).item()
        for k in range(4)
    ]
    assert score.by_class()[:4].tolist() == pytest.approx(expected, abs=1e-6)
    assert score.mean() == pytest.approx(np.mean(expected), abs=1e-6)
