"""What every loss promises, each with and without its options."""

from functools import partial
from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from autoseg.config import LossName
from autoseg.config.losses import CLASS_WEIGHTED, LOSS_OPTIONS
from autoseg.training.losses import LOSS_DEFAULTS, LOSSES
from tests.waits import META, Waits

IGNORED = 7
WEIGHTS = torch.tensor([0.3, 1.0, 4.0, 0.1])

CASES = {
    **LOSSES,
    **{
        f"{name}, weighted": partial(LOSSES[name], class_weights=WEIGHTS) for name in CLASS_WEIGHTED
    },
    "focal, gamma 0.5": partial(LOSSES["focal"], gamma=0.5),
    "ohem, half": partial(LOSSES["ohem"], threshold=0.2, min_kept=0.5),
}


def random_case(dtype=torch.float32):
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(2, 4, 3, 5, generator=generator, dtype=dtype)
    target = torch.randint(4, (2, 3, 5), generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.3] = IGNORED
    return logits, target


@pytest.fixture(params=CASES)
def loss(request):
    return partial(CASES[request.param], ignore_index=IGNORED)


def test_the_names_are_those_of_the_type():
    assert get_args(LossName) == tuple(LOSSES)
    assert set(CLASS_WEIGHTED) <= set(LOSSES)
    assert set(LOSS_DEFAULTS) == set(LOSS_OPTIONS)
    assert {option.loss for option in LOSS_OPTIONS.values()} <= set(LOSSES)


def test_ignored_pixels_change_nothing(loss):
    logits, target = random_case()
    ignored = (target == IGNORED)[:, None].expand_as(logits)
    assert ignored.any()
    other = torch.where(ignored, 50 * torch.randn(logits.shape), logits)
    assert torch.equal(loss(logits, target), loss(other, target))


def test_ignored_pixels_have_no_gradient(loss):
    logits, target = random_case()
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(logits, target), logits)
    assert gradient.any()
    assert not gradient[(target == IGNORED)[:, None].expand_as(logits)].any()


def test_a_batch_without_labels_gives_zero_and_no_gradient(loss):
    logits = torch.randn(2, 4, 3, 5, requires_grad=True)
    value = loss(logits, torch.full((2, 3, 5), IGNORED))
    value.backward()
    assert value.shape == ()
    assert value.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_the_gradient_is_that_of_finite_differences(loss):
    logits, target = random_case(torch.float64)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, target), (logits,), atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(loss, dtype):
    logits, target = random_case()
    logits = logits.to(dtype)
    expected = loss(logits.float(), target)
    with torch.autocast("cpu", dtype=dtype):
        inside = loss(logits, target)
    for value in (loss(logits, target), inside):
        assert value.dtype == torch.float32
        assert torch.equal(value, expected)


def test_float64_stays_float64(loss):
    logits, target = random_case(torch.float64)
    value = loss(logits, target)
    assert value.dtype == torch.float64
    # float32 would be off by about 1e-7.
    tilted = loss(logits + 1e-12 * logits, target)
    assert 0 < abs(tilted.item() - value.item()) < 1e-10


def test_the_order_of_the_pixels_does_not_matter(loss):
    logits, target = random_case(torch.float64)
    flipped = loss(logits.flip(0, 3), target.flip(0, 2))
    assert flipped.item() == pytest.approx(loss(logits, target).item(), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_of_the_classes_does_not_matter(name):
    logits, target = random_case(torch.float64)
    order = [2, 0, 3, 1]
    renamed = torch.full_like(target, IGNORED)
    for new, old in enumerate(order):
        renamed[target == old] = new
    options = {"class_weights": WEIGHTS} if name in CLASS_WEIGHTED else {}
    expected = LOSSES[name](logits, target, ignore_index=IGNORED, **options)
    if options:
        options = {"class_weights": WEIGHTS[order]}
    value = LOSSES[name](logits[:, order], renamed, ignore_index=IGNORED, **options)
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)


def test_a_certain_and_right_prediction_costs_nothing(loss):
    _, target = random_case()
    logits = 1000.0 * F.one_hot(target % IGNORED, 4).permute(0, 3, 1, 2)
    assert loss(logits, target).item() == 0


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_losses_that_choose_nothing_wait_for_no_device(name, is_weighted):
    # The others ask for values, as docs/recipe.md says: of this device there are none.
    weights = {"class_weights": WEIGHTS.to(META)} if is_weighted else {}
    logits = torch.empty(2, 4, 3, 5, device=META, requires_grad=True)
    target = torch.empty(2, 3, 5, dtype=torch.int64, device=META)
    with Waits() as waits:
        LOSSES[name](logits, target, ignore_index=IGNORED, **weights).backward()
    assert waits.found == []
