"""Cross-entropy against sums over pixels written out, and torch's own weighted mean."""

import math

import pytest
import torch
import torch.nn.functional as F

from autoseg.training.loss_functions import cross_entropy


def naive_cross_entropy(logits, target, ignore_index):
    total, count = 0.0, 0
    num_images, _, height, width = logits.shape
    for n in range(num_images):
        for y in range(height):
            for x in range(width):
                label = int(target[n, y, x])
                if label != ignore_index:
                    scores = logits[n, :, y, x].tolist()
                    total += math.log(sum(math.exp(s) for s in scores)) - scores[label]
                    count += 1
    return total / max(count, 1)


def random_case(height, width, *, classes=3, ignore_index=7):
    torch.manual_seed(height)
    target = torch.randint(classes, (2, height, width))
    target[torch.rand(target.shape) < 0.3] = ignore_index
    return torch.randn(2, classes, height, width), target


def test_it_averages_over_the_pixels_that_count():
    logits, target = random_case(4, 5)
    expected = naive_cross_entropy(logits, target, 7)
    assert cross_entropy(logits, target, ignore_index=7).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_class_weights_it_is_torchs_sum_over_the_count_bit_for_bit(dtype):
    logits, target = random_case(33, 47)
    logits = logits.to(dtype).requires_grad_()
    expected = F.cross_entropy(logits.float(), target, ignore_index=7, reduction="sum")
    expected = expected / (target != 7).sum()
    loss = cross_entropy(logits, target, ignore_index=7)
    assert torch.equal(loss, expected)
    (gradient,) = torch.autograd.grad(loss, logits)
    (expected_gradient,) = torch.autograd.grad(expected, logits)
    assert torch.equal(gradient, expected_gradient)


def test_class_weights_by_hand():
    # Both pixels have p = (3/4, 1/4); the first is of class 0, the second of class 1.
    logits = torch.tensor([math.log(3.0), 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 2)
    target = torch.tensor([[[0, 1]]])
    loss = cross_entropy(logits, target, ignore_index=7, class_weights=torch.tensor([3.0, 2.0]))
    expected = (3 * math.log(4 / 3) + 2 * math.log(4)) / (3 + 2)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_the_weighted_mean_is_torchs():
    # float64: both sum in their own order; 1e-12 is far above that and far below any mistake.
    logits, target = random_case(6, 9)
    logits, weights = logits.double(), torch.tensor([0.2, 3.0, 0.7], dtype=torch.float64)
    expected = F.cross_entropy(logits, target, weight=weights, ignore_index=7)
    loss = cross_entropy(logits, target, ignore_index=7, class_weights=weights)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)


def test_a_factor_common_to_all_weights_changes_nothing():
    logits, target = random_case(6, 9)
    plain = cross_entropy(logits, target, ignore_index=7)
    alike = cross_entropy(logits, target, ignore_index=7, class_weights=torch.full((3,), 1e-3))
    assert alike.item() == pytest.approx(plain.item(), rel=1e-6)


def test_pixels_of_weight_zero_alone_give_zero_and_no_gradient():
    logits = torch.randn(1, 2, 2, 3, requires_grad=True)
    target = torch.zeros(1, 2, 3, dtype=torch.int64)
    loss = cross_entropy(logits, target, ignore_index=7, class_weights=torch.tensor([0.0, 1.0]))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_missing_class_weight_is_named():
    logits, target = random_case(2, 3)
    message = (
        r"class_weights has shape \(2,\), but the logits have 3 classes: give one weight for each, "
        r"shape \(3,\)\."
    )
    with pytest.raises(ValueError, match=message):
        cross_entropy(logits, target, ignore_index=7, class_weights=torch.ones(2))


def test_label_smoothing_is_cross_entropy_with_soft_targets():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 3, 3, generator=generator, dtype=torch.float64)
    target = torch.randint(4, (2, 3, 3), generator=generator)
    target[0, 0] = 255
    soft = torch.full((2, 3, 3, 4), 0.2 / 4, dtype=torch.float64)
    soft.scatter_add_(3, target.clamp(max=3)[..., None], torch.full_like(soft, 0.8))
    losses = -(soft * logits.log_softmax(dim=1).permute(0, 2, 3, 1)).sum(dim=3)
    labelled = target != 255
    value = cross_entropy(logits, target, ignore_index=255, label_smoothing=0.2)
    assert value.item() == pytest.approx(losses[labelled].mean().item(), rel=1e-12)
    weighted = cross_entropy(
        logits, target, ignore_index=255, label_smoothing=0.2, class_weights=torch.ones(4)
    )
    assert weighted.item() == pytest.approx(value.item(), rel=1e-12)
