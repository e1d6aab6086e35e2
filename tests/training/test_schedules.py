"""Learning rates against torch's own schedulers."""

import pytest
import torch

from autoseg.training import cosine, poly
from autoseg.training.schedules import warm_up

STEPS = 40


def rates(scheduler_of, initial):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=initial)
    scheduler = scheduler_of(optimizer)
    for _ in range(STEPS + 1):
        yield optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step()


def test_cosine_equals_torchs():
    expected = rates(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.001), 0.025
    )
    for step, rate in enumerate(expected):
        # torch works by recursion, whose rounding grows.
        assert cosine(step / STEPS, initial=0.025, final=0.001) == pytest.approx(rate, rel=1e-9)


def test_poly_equals_torchs():
    expected = rates(lambda o: torch.optim.lr_scheduler.PolynomialLR(o, STEPS, power=0.9), 0.05)
    for step, rate in enumerate(expected):
        assert poly(step / STEPS, initial=0.05, power=0.9) == pytest.approx(rate, rel=1e-9)


def test_warm_up_equals_torchs():
    # torch's factor at its step k is that of our step k - 1: ours already moves at the first.
    expected = rates(
        lambda o: torch.optim.lr_scheduler.LinearLR(o, start_factor=1e-9, total_iters=10), 0.05
    )
    for step, rate in enumerate(expected):
        assert 0.05 * warm_up(step - 1, 10) == pytest.approx(rate, rel=1e-6, abs=1e-9)


def test_without_a_warm_up_the_factor_is_1():
    assert [warm_up(step, 0) for step in (0, 1, 100)] == [1, 1, 1]
