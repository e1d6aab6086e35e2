"""The confusion matrix against plain loops, cases worked by hand, and its invariants."""

import math

import pytest
import torch
from torch import Tensor

from autoseg.metrics import ConfusionMatrix, confusion_matrix

IGNORE = 255


def count_by_loops(pred: Tensor, target: Tensor, num_classes: int) -> list[list[int]]:
    counts = [[0] * num_classes for _ in range(num_classes)]
    for p, t in zip(pred.flatten().tolist(), target.flatten().tolist(), strict=True):
        if t != IGNORE:
            counts[t][p] += 1
    return counts


def random_labels(seed: int, num_classes: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pred = torch.randint(num_classes, shape, generator=generator)
    target = torch.randint(num_classes, shape, generator=generator)
    is_ignored = torch.rand(shape, generator=generator) < 0.2
    return pred, target.masked_fill(is_ignored, IGNORE)


@pytest.mark.parametrize("seed", range(5))
def test_counts_and_scores_equal_plain_loops(seed: int) -> None:
    num_classes = 4
    pred, target = random_labels(seed, num_classes, (2, 5, 7))
    # Two of the four classes may be absent from this split.
    pred, target = pred.clamp(max=2), torch.where(target == 3, 1, target)
    matrix = ConfusionMatrix(num_classes, IGNORE)
    matrix.update(pred, target)
    expected = count_by_loops(pred, target, num_classes)
    assert matrix.counts.tolist() == expected
    assert matrix.counts.dtype == torch.int64

    ious, accuracies = [], []
    for k in range(num_classes):
        hit, true = expected[k][k], sum(expected[k])
        predicted = sum(row[k] for row in expected)
        if true + predicted > 0:
            ious.append(hit / (true + predicted - hit))
        if true > 0:
            accuracies.append(hit / true)
    total = sum(map(sum, expected))
    # float64 on both sides: only the order of a few additions differs.
    assert matrix.mean_iou() == pytest.approx(sum(ious) / len(ious), rel=1e-14)
    assert matrix.mean_accuracy() == pytest.approx(sum(accuracies) / len(accuracies), rel=1e-14)
    assert matrix.pixel_accuracy() == sum(expected[k][k] for k in range(4)) / total
    assert matrix.num_averaged == len(ious) == 3
    weighted = sum(sum(expected[k]) / total * ious[k] for k in range(3))
    assert matrix.frequency_weighted_iou() == pytest.approx(weighted, rel=1e-14)


def test_four_pixels_worked_by_hand() -> None:
    # Truth 0 0 1 void, prediction 0 1 1 2: class 0 has TP 1, FN 1 -> 1/2; class 1 has TP 1, FP 1
    # -> 1/2; class 2 was predicted only on a void pixel, so it is absent, like class 3.
    matrix = ConfusionMatrix(4, IGNORE)
    matrix.update(torch.tensor([[0, 1], [1, 2]]), torch.tensor([[0, 0], [1, IGNORE]]))
    iou = matrix.iou().tolist()
    assert iou[:2] == [0.5, 0.5]
    assert all(math.isnan(value) for value in iou[2:])
    assert matrix.mean_iou() == 0.5
    assert matrix.num_averaged == 2
    assert matrix.mean_accuracy() == (1 / 2 + 1) / 2
    assert matrix.pixel_accuracy() == 2 / 3
    assert matrix.num_pixels == 3


def test_class_only_predicted_counts_as_zero_iou_and_not_in_mean_accuracy() -> None:
    matrix = ConfusionMatrix(3, IGNORE)
    matrix.update(torch.tensor([0, 2]), torch.tensor([0, 0]))
    assert matrix.iou()[2] == 0
    assert matrix.num_averaged == 2
    assert matrix.mean_iou() == 0.25
    assert matrix.mean_accuracy() == 0.5  # class 0 alone; class 2 has no true pixel


def test_rows_are_truth_and_columns_prediction() -> None:
    counts = confusion_matrix(
        torch.tensor([1, 1, 1]), torch.tensor([0, 0, 1]), num_classes=2, ignore_index=IGNORE
    )
    assert counts.tolist() == [[0, 2], [0, 1]]


def test_ignored_pixels_change_nothing() -> None:
    pred, target = random_labels(0, 3, (1, 6, 5))
    other = torch.where(target == IGNORE, (pred + 1) % 3, pred)
    assert not torch.equal(pred, other)
    first = confusion_matrix(pred, target, num_classes=3, ignore_index=IGNORE)
    assert torch.equal(first, confusion_matrix(other, target, num_classes=3, ignore_index=IGNORE))


@pytest.mark.parametrize("ignore_index", [-1, 3, 255])
def test_ignore_index_may_lie_on_either_side_of_the_classes(ignore_index: int) -> None:
    counts = confusion_matrix(
        torch.tensor([0, 1]),
        torch.tensor([0, ignore_index]),
        num_classes=3,
        ignore_index=ignore_index,
    )
    assert counts.sum() == 1


def test_splitting_a_batch_and_merging_change_no_count() -> None:
    pred, target = random_labels(1, 5, (3, 4, 6))
    whole, parts, other = (ConfusionMatrix(5, IGNORE) for _ in range(3))
    whole.update(pred, target)
    parts.update(pred[:1], target[:1])
    other.update(pred[1:], target[1:])
    parts.merge(other)
    assert torch.equal(whole.counts, parts.counts)
    assert whole.counts.sum() == (target != IGNORE).sum()


def test_uint8_labels_do_not_wrap_around() -> None:
    # 200 * 255 does not fit into uint8.
    pred, target = torch.tensor([199], dtype=torch.uint8), torch.tensor([198], dtype=torch.uint8)
    counts = confusion_matrix(pred, target, num_classes=200, ignore_index=IGNORE)
    assert counts[198, 199] == 1
    assert counts.sum() == 1


def test_counts_beyond_float32_stay_exact() -> None:
    matrix = ConfusionMatrix(2, IGNORE)
    matrix.counts[0, 0] = 2**24
    matrix.update(torch.tensor([0]), torch.tensor([0]))
    assert matrix.counts[0, 0] == 2**24 + 1


@pytest.mark.parametrize(
    ("pred", "target", "message"),
    [
        ([0], [3], "target holds label 3, which is outside [0, 3) and is not ignore_index 255"),
        ([0], [-1], "target holds label -1"),
        ([3], [0], "pred holds label 3, which is outside [0, 3); check num_classes"),
        ([9], [IGNORE], "pred holds label 9"),
        ([0, 1], [0], "pred is (2,) and target is (1,); score at the label's own resolution"),
        ([0.5], [0], "pred is torch.float32; expected integer class labels"),
        ([0], [True], "target is torch.bool"),
    ],
)
def test_bad_labels_are_named(pred: list, target: list, message: str) -> None:
    matrix = ConfusionMatrix(3, IGNORE)
    with pytest.raises(ValueError) as error:
        matrix.update(torch.tensor(pred), torch.tensor(target))
    assert message in str(error.value)
    assert matrix.num_pixels == 0


def test_merging_unlike_matrices_is_refused() -> None:
    with pytest.raises(ValueError) as error:
        ConfusionMatrix(3, IGNORE).merge(ConfusionMatrix(3, 11))
    assert "differ: (3, 255) here and (3, 11) there" in str(error.value)


@pytest.mark.parametrize(
    "score", ["mean_iou", "mean_accuracy", "pixel_accuracy", "frequency_weighted_iou"]
)
def test_a_score_without_pixels_is_refused(score: str) -> None:
    matrix = ConfusionMatrix(3, IGNORE)
    matrix.update(torch.tensor([1]), torch.tensor([IGNORE]))
    with pytest.raises(RuntimeError) as error:
        getattr(matrix, score)()
    assert f"ConfusionMatrix.{score}: no pixel has been counted" in str(error.value)
    assert "ignore_index 255" in str(error.value)


def test_a_matrix_needs_a_class() -> None:
    with pytest.raises(ValueError, match="num_classes is 0; expected 1 or more"):
        ConfusionMatrix(0, IGNORE)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_unchecked_counts_are_the_checked_ones_and_wait_for_no_device(device: str) -> None:
    pred, target = random_labels(0, 5, (3, 6, 7))
    matrix, expected = ConfusionMatrix(5, IGNORE), ConfusionMatrix(5, IGNORE)
    matrix.check_target(target)
    # Values of meta tensors cannot be read: whatever waited for them would raise.
    matrix.counts = matrix.counts.to(device)
    matrix.update_unchecked(pred.to(torch.uint8).to(device), target.to(device))
    expected.update(pred, target)
    assert matrix.counts.shape == expected.counts.shape
    if device == "cpu":
        assert torch.equal(matrix.counts, expected.counts)


def test_a_label_that_cannot_be_counted_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match=r"target holds label 5, which is outside \[0, 5\)"):
        ConfusionMatrix(5, IGNORE).check_target(torch.tensor([[0, IGNORE, 5]]))
