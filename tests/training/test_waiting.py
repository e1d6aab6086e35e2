import pytest
import torch

from autoseg.training import waiting
from autoseg.training.waiting import WatchedBatches


@pytest.fixture
def clock(monkeypatch):
    now = [50.0]
    monkeypatch.setattr(waiting, "monotonic", lambda: now[0])
    return now


def watched(clock, *, loading_s, step_s, num_batches=20, num_workers=0):
    """Watch batches that take `loading_s` each, with steps of `step_s` between them."""

    def load():
        for number in range(num_batches):
            clock[0] += loading_s
            yield torch.full((1,), number), torch.zeros(1)

    batches = WatchedBatches(load(), num_workers=num_workers)
    given = []
    for images, _ in batches:
        given.append(int(images))
        clock[0] += step_s
    assert given == list(range(num_batches))  # passed on as they are
    return batches


def test_waiting_is_what_loading_takes_and_is_said_with_its_share(clock):
    batches = watched(clock, loading_s=1.0, step_s=3.0)
    assert batches.waited_s == pytest.approx(20)
    assert batches.hint() == (
        "25% of the time went by waiting for images; --num-workers 2 loads beside the training, "
        "and saves up to as much"
    )


def test_workers_that_do_not_keep_up_are_doubled_and_not_without_end(clock):
    assert "--num-workers 6" in str(watched(clock, loading_s=1.0, step_s=1.0, num_workers=3).hint())
    assert "saved at the size" in str(
        watched(clock, loading_s=1.0, step_s=1.0, num_workers=4).hint()
    )


def test_nothing_is_said_of_fast_loading_or_few_steps(clock):
    assert watched(clock, loading_s=1.0, step_s=4.0).hint() is None
    assert watched(clock, loading_s=9.0, step_s=1.0, num_batches=19).hint() is None
