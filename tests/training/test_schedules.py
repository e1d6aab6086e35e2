"""Learning rates against torch's own schedulers."""

import pytest
import torch

from autoseg.training import cosine, poly

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
