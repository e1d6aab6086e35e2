"""Shares of a budget against fractions worked by hand."""

from fractions import Fraction

from autoseg.training import budget
from autoseg.training.budget import Budget


def test_steps_are_exact_shares():
    spent = Budget(num_steps=7, seconds=None)
    assert [spent.share(step) for step in (0, 3, 7, 9)] == [0, Fraction(3, 7), 1, 1]
    assert float(spent.share(5)) == 5 / 7  # the same rounding as that of a division
    assert spent.units(3) == (3, 7, "step")


def test_a_clock_counts_what_was_spent_before_a_stop(monkeypatch):
    now_s = 100.0
    monkeypatch.setattr(budget, "monotonic", lambda: now_s)
    spent = Budget(num_steps=7, seconds=60.0, spent_s=15.0)
    assert spent.share(0) == spent.share(1000) == Fraction(1, 4)
    now_s = 130.5
    assert spent.spent_s == 45.5
    assert spent.units(3) == (45, 60, "second")
    now_s = 1e6
    assert spent.share(0) == 1
    assert spent.units(3) == (60, 60, "second")


def test_processor_time_goes_on_from_before_a_stop(monkeypatch):
    used_s = 3.0
    monkeypatch.setattr(budget, "process_time", lambda: used_s)
    spent = Budget(num_steps=7, seconds=None, processor_s=20.0)
    used_s = 5.5
    assert spent.processor_s == 22.5
    monkeypatch.setattr(budget, "from_all", lambda own: [own, 1.25])
    assert spent.processor_s == 23.75  # of both processes of a job
