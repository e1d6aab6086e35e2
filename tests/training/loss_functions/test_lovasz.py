"""The Lovasz extension against sets, permutations and thresholds, all enumerated."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from scipy.spatial.distance import jaccard

from autoseg.training.loss_functions import jaccard_extension, lovasz_softmax


def jaccard_loss(is_wrong, is_class):
    """1 - IoU of a class if the pixels `is_wrong` are wrong, by scipy."""
    pred = [wrong != truth for wrong, truth in zip(is_wrong, is_class, strict=True)]
    return jaccard(pred, is_class)


def truths(num_pixels):
    return [t for t in itertools.product((False, True), repeat=num_pixels) if any(t)]


def extension(errors, is_class):
    errors = torch.tensor(errors, dtype=torch.float64)
    return jaccard_extension(errors, torch.tensor(is_class)).item()


@pytest.mark.parametrize("num_pixels", [1, 2, 4])
def test_where_each_error_is_0_or_1_it_is_the_jaccard_loss(num_pixels):
    for is_class in truths(num_pixels):
        for is_wrong in itertools.product((False, True), repeat=num_pixels):
            expected = jaccard_loss(is_wrong, is_class)
            assert extension(is_wrong, is_class) == pytest.approx(expected, abs=1e-12)


def test_between_it_is_the_tightest_convex_function():
    # The convex closure of a submodular function is the largest, over all orders in which pixels
    # can go wrong, of the errors times the steps of that order (Edmonds 1970).
    generator = torch.Generator().manual_seed(0)
    for is_class in truths(4):
        errors = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
        candidates = []
        for order in itertools.permutations(range(4)):
            value, before, wrong = 0.0, 0.0, [False] * 4
            for pixel in order:
                wrong[pixel] = True
                after = jaccard_loss(wrong, is_class)
                value += errors[pixel] * (after - before)
                before = after
            candidates.append(value)
        assert extension(errors, is_class) == pytest.approx(max(candidates), abs=1e-12)


def test_it_is_the_mean_jaccard_loss_over_thresholds_on_the_error():
    # Choquet's integral of Jaccard({error >= t}) for t from 0 to 1, exactly: between two errors the
    # set is the same. Equal errors are among the cases.
    is_class = (True, False, True, False, False)
    errors = (0.3, 0.9, 0.3, 0.0, 0.3)
    edges = sorted({0.0, 1.0, *errors})
    expected = sum(
        (high - low) * jaccard_loss([error >= high for error in errors], is_class)
        for low, high in itertools.pairwise(edges)
    )
    assert extension(errors, is_class) == pytest.approx(expected, abs=1e-12)


def test_it_is_convex():
    generator = torch.Generator().manual_seed(0)
    is_class = torch.rand(30, generator=generator) < 0.3
    a, b = torch.rand(2, 30, generator=generator, dtype=torch.float64)
    ends = jaccard_extension(a, is_class) + jaccard_extension(b, is_class)
    assert jaccard_extension((a + b) / 2, is_class) < ends / 2


def test_a_million_pixels_keep_their_digits():
    # The slopes, about 1e-6 each, in float32 against float64; differences of float32 losses, as in
    # the paper's algorithm, would be wrong by several per cent.
    generator = torch.Generator().manual_seed(0)
    is_class = torch.rand(2**20, generator=generator) < 0.2
    errors = torch.randperm(2**20, generator=generator) / 2**20  # all different, exact in float32

    def slopes(dtype):
        leaf = errors.to(dtype).requires_grad_()
        return torch.autograd.grad(jaccard_extension(leaf, is_class), leaf)[0].double()

    torch.testing.assert_close(slopes(torch.float32), slopes(torch.float64), rtol=1e-6, atol=0)


def test_hard_predictions_give_one_minus_the_iou_of_each_class():
    generator = torch.Generator().manual_seed(1)
    pred = torch.randint(4, (2, 5, 6), generator=generator)
    target = torch.randint(4, (2, 5, 6), generator=generator)
    logits = 1000.0 * F.one_hot(pred, 4).permute(0, 3, 1, 2)
    # Over all images at once, not the mean of one value an image.
    expected = sum(jaccard((pred == c).flatten(), (target == c).flatten()) for c in range(4)) / 4
    loss = lovasz_softmax(logits, target, ignore_index=7)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_soft_predictions_by_hand():
    # Classes 0 and 1 at two pixels, truth 0 and 1, p(class 0) = 0.8 and 0.4.
    p = torch.tensor([0.8, 0.4], dtype=torch.float64)
    logits = torch.stack([p, 1 - p]).log().view(1, 2, 1, 2)
    # Class 0: errors 0.2 (its own pixel) and 0.4 (the other's). The larger first: giving it the
    # other's pixel makes IoU 1/2, a step of 1/2; missing its own as well makes it 0, another 1/2.
    class_0 = 0.4 * 1 / 2 + 0.2 * 1 / 2
    # Class 1: errors 0.2 (not its pixel) and 0.4 (its own). Its own first: IoU 0, a step of 1.
    class_1 = 0.4 * 1 + 0.2 * 0
    loss = lovasz_softmax(logits, torch.tensor([[[0, 1]]]), ignore_index=7)
    assert loss.item() == pytest.approx((class_0 + class_1) / 2, rel=1e-12)


def test_a_class_without_truth_is_left_out():
    # Class 2 has half of each pixel, but no truth; class 0 misses half of each: 4 errors of 1/2,
    # which are 1/2 of the loss of missing all.
    logits = torch.tensor([0.0, -1000.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    target = torch.zeros(1, 2, 2, dtype=torch.int64)
    loss = lovasz_softmax(logits, target, ignore_index=7)
    assert loss.item() == pytest.approx(0.5, rel=1e-6)
