"""What a loop says where its steps take much longer than was reckoned."""

import io
from types import SimpleNamespace

import pytest

from autoseg.runs import progress as progress_module
from autoseg.runs.progress import Progress
from autoseg.runs.reckoning import Reckoning

ADVICE = "--budget 10m ends it"


def lines_of(reckoning, monkeypatch, *, step_s, num_steps=100, total=1000, first_s=0.0, initial=0):
    """Make steps of one length behind a first one; return the lines that are no progress."""
    clock = SimpleNamespace(now_s=0.0)
    monkeypatch.setattr(progress_module, "monotonic", lambda: clock.now_s)
    stream = io.StringIO()
    with Progress(
        total, description="search", initial=initial, reckoning=reckoning, stream=stream
    ) as progress:
        clock.now_s += first_s
        progress.update()
        for _ in range(num_steps):
            clock.now_s += step_s
            progress.update()
    return [line for line in stream.getvalue().splitlines() if "steps," not in line]


def test_steps_that_take_twice_as_long_are_said_to_once(monkeypatch):
    (line,) = lines_of(Reckoning(600, advice=ADVICE), monkeypatch, step_s=1.5)
    assert line == (
        "search: at the speed of its first 20 steps all 1,000 take about 25:00, where 10:00 were "
        "reckoned for an idle machine; --budget 10m ends it"
    )


@pytest.mark.parametrize(("step_s", "is_said"), [(0.5, False), (0.89, False), (0.91, True)])
def test_half_as_long_again_is_called_right(step_s, is_said, monkeypatch):
    assert bool(lines_of(Reckoning(600, advice=ADVICE), monkeypatch, step_s=step_s)) == is_said


def test_what_is_set_up_at_the_first_step_is_not_its_speed(monkeypatch):
    reckoning = Reckoning(600, advice=ADVICE)
    assert not lines_of(reckoning, monkeypatch, step_s=0.6, first_s=120.0)


def test_twenty_quick_steps_are_not_believed(monkeypatch):
    # A second for 20 steps may be chance; after 20 seconds it is not.
    reckoning = Reckoning(10, advice=ADVICE)
    assert not lines_of(reckoning, monkeypatch, step_s=0.05, num_steps=399)
    assert lines_of(Reckoning(10, advice=ADVICE), monkeypatch, step_s=0.05, num_steps=401)


def test_a_resumed_loop_is_held_against_the_whole(monkeypatch):
    reckoning = Reckoning(600, advice=ADVICE)
    (line,) = lines_of(reckoning, monkeypatch, step_s=1.5, initial=500)
    assert "all 1,000 take about 25:00" in line
