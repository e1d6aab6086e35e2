"""Validation keeps to its share of the time."""

from autoseg.training import validation_clock
from autoseg.training.validation_clock import ValidationClock


def test_the_clock_leaves_room_for_one_more_validation(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(validation_clock, "monotonic", lambda: now[0])
    clock = ValidationClock(0.1)
    assert clock.has_time(16)  # nothing is known of the cost yet
    now[0] += 80.0
    with clock.validating(16):
        now[0] += 8.0
    assert not clock.has_time(16)  # 16 of 96 seconds
    now[0] += 63.0
    assert not clock.has_time(16)  # 16 of 159
    now[0] += 1.0
    assert clock.has_time(16)  # 16 of 160
    assert clock.has_time(8) and not clock.has_time(17)
