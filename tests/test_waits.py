"""What the tests watch waits with sees them, and leaves nothing behind."""

import pytest
import torch

from tests.waits import META, Waits, waits_are_errors


def test_copies_that_wait_are_told_from_those_that_do_not():
    numbers, there = torch.ones(2, 3), torch.empty(2, 3, device=META)
    with Waits() as waits:
        numbers.to(META, non_blocking=True)
        there.copy_(numbers, non_blocking=True)
        there.to(torch.float64)
        torch.full((2,), 0.5, device=META)
        torch.tensor([1.0, 2.0])
    assert waits.found == []
    with Waits() as waits:
        numbers.to(META)
        there.copy_(numbers)
        torch.tensor([1.0, 2.0], device=META)
    assert waits.found == ["a copy of (2, 3)", "a copy of (2, 3)", "tensor of numbers [1.0, 2.0]"]
    numbers.to(META)
    assert len(waits.found) == 3  # it is over


@pytest.mark.parametrize("fails", [False, True])
def test_a_gpu_is_set_back_where_waits_were_errors(monkeypatch, fails):
    modes = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    try:
        with waits_are_errors():
            assert modes == ["error"]
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert modes == ["error", "default"]
