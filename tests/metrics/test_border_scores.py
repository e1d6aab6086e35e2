"""Scores of borders against plain loops over pixels, in double precision."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from autoseg.metrics import border_scores
from autoseg.metrics.borders import within

K, VOID = 4, 255
SIZES = ((9, 13), (12, 7))


def images(seed):
    """Pairs of prediction and truth, blobs of classes 0 to 2; class 3 occurs nowhere."""
    generator = np.random.default_rng(seed)
    pairs = []
    for height, width in SIZES:
        truth = (
            generator.integers(0, 3, (height // 3 + 1, width // 3 + 1)).repeat(3, 0).repeat(3, 1)
        )
        truth = truth[:height, :width].copy()
        pred = np.roll(truth, 1, axis=1)
        pred[generator.random(pred.shape) < 0.1] = 1
        truth[generator.random(truth.shape) < 0.1] = VOID
        pairs.append((pred, truth))
    return pairs


def pixels(labels):
    return list(product(*map(range, labels.shape)))


def chessboard(p, q):
    return max(abs(p[0] - q[0]), abs(p[1] - q[1]))


def ratio(counts):
    """Mean over the classes that have something below the line."""
    shares = [up / down for up, down in counts if down]
    return sum(shares) / len(shares) if shares else None


def naive_trimap(pairs, width, around):
    counts = [[0, 0] for _ in range(K)]
    for pred, truth in pairs:
        for p in pixels(truth):
            near = [truth[q] for q in pixels(truth) if chessboard(p, q) <= width]
            is_near = (VOID in near if around == "void" else {*near} - {VOID, truth[p]}) and truth[
                p
            ] != VOID
            for k in range(K):
                counts[k][0] += bool(is_near and pred[p] == truth[p] == k)
                counts[k][1] += bool(is_near and k in (pred[p], truth[p]))
    return ratio(counts)


def naive_boundary(pairs):
    counts = [[0, 0] for _ in range(K)]
    for pred, truth in pairs:
        width = max(1, round(0.02 * math.hypot(*truth.shape)))
        pred = np.where(truth == VOID, VOID, pred)
        padded = [np.pad(labels, width, constant_values=VOID) for labels in (pred, truth)]
        for y, x in pixels(truth):
            inside = []
            for labels in padded:
                window = labels[y : y + 2 * width + 1, x : x + 2 * width + 1]
                own = labels[y + width, x + width]
                inside.append(own if own != VOID and (window != own).any() else None)
            for k in range(K):
                counts[k][0] += inside == [k, k]
                counts[k][1] += k in inside
    return ratio(counts)


def naive_surface(pairs, tolerance):
    counts = [[0, 0] for _ in range(K)]
    for pred, truth in pairs:
        both = (np.where(truth == VOID, VOID, pred), truth)
        for k in range(K):
            first, second = (
                [
                    p
                    for p in pixels(labels)
                    if labels[p] == k
                    and {labels[q] for q in pixels(labels) if chessboard(p, q) <= 1} - {k, VOID}
                ]
                for labels in both
            )
            for some, others in ((first, second), (second, first)):
                counts[k][0] += sum(any(math.dist(p, q) <= tolerance for q in others) for p in some)
                counts[k][1] += len(some)
    return ratio(counts)


def scored(pairs, **asked):
    scores = border_scores(K, VOID, **asked)
    for score in scores:
        for pred, truth in pairs:
            score.update(torch.from_numpy(pred), torch.from_numpy(truth))
    return {score.key: score.mean() for score in scores}


@pytest.mark.parametrize("seed", [0, 1])
def test_every_score_equals_plain_loops(seed):
    pairs = images(seed)
    measured = scored(pairs, trimap=(1, 3), boundary_iou=True, surface_tolerance=2)
    expected = {
        **{
            f"trimap_iou_{around}_{width}px": naive_trimap(pairs, width, around)
            for around in ("borders", "void")
            for width in (1, 3)
        },
        "boundary_iou": naive_boundary(pairs),
        "surface_dice_2px": naive_surface(pairs, 2),
    }
    assert measured == pytest.approx(expected, rel=1e-14)
    assert min(measured.values()) > 0.1 and max(measured.values()) < 1


def test_a_truth_scores_one_and_void_hides_what_was_predicted_there():
    ((_, truth), *_) = images(2)
    for junk in (0, 2):
        pred = np.where(truth == VOID, junk, truth)
        measured = scored([(pred, truth)], trimap=(2,), boundary_iou=True, surface_tolerance=1)
        assert set(measured.values()) == {1.0}


def test_where_there_is_no_border_there_is_no_score():
    flat = np.zeros((6, 5), np.int64)
    measured = scored([(flat, flat)], trimap=(2,), boundary_iou=True, surface_tolerance=1)
    nothing = {key: value for key, value in measured.items() if value is None}
    assert nothing.keys() == {"trimap_iou_borders_2px", "trimap_iou_void_2px", "surface_dice_1px"}
    assert measured["boundary_iou"] == 1  # the image's edge bounds the class


def test_a_shift_beyond_the_tolerance_by_hand():
    truth = np.zeros((4, 12), np.int64)
    truth[:, 6:] = 1
    pred = np.zeros((4, 12), np.int64)
    pred[:, 9:] = 1  # the border has moved by 3 columns
    for tolerance, share in ((2, 0.0), (3, 1.0)):
        assert scored([(pred, truth)], surface_tolerance=tolerance) == {
            f"surface_dice_{tolerance}px": share
        }
    # Within 2 columns of the border 8 pixels of each class: those of class 1 are all missed.
    assert scored([(pred, truth)], trimap=(2,))["trimap_iou_borders_2px"] == (8 / 16 + 0) / 2


@pytest.mark.parametrize("distance", [0, 1, 2, 5, 20])
def test_within_is_a_disc(distance):
    for centre in ((2, 3), (0, 8)):
        mask = torch.zeros(7, 9, dtype=torch.bool)
        mask[centre] = True
        expected = [[math.dist((y, x), centre) <= distance for x in range(9)] for y in range(7)]
        assert within(mask, distance=distance).tolist() == expected
