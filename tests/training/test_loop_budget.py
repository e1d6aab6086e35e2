"""A training by the clock: the clock is a fake, so that every number is worked by hand."""

import dataclasses
from unittest import mock

import pytest

from autoseg.runs import Run
from autoseg.training import budget, loop, validation_clock
from tests.training.test_loop import CONFIG, Flag, Network, metrics, new_run, run_training

BY_CLOCK = dataclasses.replace(CONFIG, budget="10s", val_share=1.0)


class StepClock:
    """Moves on by a second at each optimizer step, and by some at each validation."""

    def __init__(self, validation_s=0.0):
        self.now_s, self.validation_s, self.rates = 100.0, validation_s, []

    def __call__(self):
        return self.now_s

    def patched(self):
        build, validate = loop.build_optimizer, loop.validate

        def built(network, config):
            optimizer = build(network, config)
            optimizer.register_step_post_hook(self.stepped)
            return optimizer

        def validated(*args, **kwargs):
            self.now_s += self.validation_s
            return validate(*args, **kwargs)

        return (
            mock.patch.multiple(loop, build_optimizer=built, validate=validated),
            mock.patch.object(budget, "monotonic", self),
            mock.patch.object(validation_clock, "monotonic", self),
        )

    def stepped(self, optimizer, args, kwargs):
        self.rates.append(optimizer.param_groups[0]["lr"])
        self.now_s += 1


def trained(folder, *, clock, config=BY_CLOCK, stop=None, network=None, resume=False):
    loops, budgets, validations = clock.patched()
    run = Run.resume(folder) if resume else new_run(folder)
    with loops, budgets, validations, run:
        return run_training(run, config=config, stop=stop, network=network)[1]


def test_rate_and_progress_follow_the_clock_and_the_cost_is_told(tmp_path):
    clock, network = StepClock(), Network()
    result = trained(tmp_path / "run", clock=clock, network=network)
    assert (result.is_finished, result.step) == (True, 10)  # num_steps is 6
    assert clock.rates == pytest.approx([0.1 * (1 - n / 10) ** 0.9 for n in range(10)])
    assert network.progress == [n / 10 for n in range(10)]
    assert (result.cost["steps"], result.cost["seconds"]) == (10, 10.0)
    assert [line["step"] for line in metrics(tmp_path / "run")] == [2, 4, 6, 8, 10]
    assert metrics(tmp_path / "run")[-1]["learning_rate"] == clock.rates[-1]


@pytest.mark.parametrize("stop_after", [1, 2, 7])
def test_the_time_before_a_stop_counts(tmp_path, stop_after):
    clock = StepClock()
    stopped = trained(tmp_path / "run", clock=clock, stop=Flag(stop_after))
    assert (stopped.is_finished, stopped.step) == (False, stop_after)
    clock.now_s += 1000  # nothing runs meanwhile
    result = trained(tmp_path / "run", clock=clock, resume=True)
    assert (result.is_finished, result.step, result.cost["seconds"]) == (True, 10, 10.0)
    assert clock.rates == pytest.approx([0.1 * (1 - n / 10) ** 0.9 for n in range(10)])
    again = trained(tmp_path / "run", clock=clock, resume=True)
    assert (again, len(clock.rates)) == (result, 10)  # what has ended stays so


def test_what_is_out_of_time_when_it_is_resumed_is_validated(tmp_path):
    clock = StepClock()
    trained(tmp_path / "run", clock=clock, stop=Flag(3))
    with mock.patch.object(budget.Budget, "share", return_value=1):
        result = trained(tmp_path / "run", clock=clock, resume=True)
    assert (result.is_finished, result.step) == (True, 3)
    assert [line["step"] for line in metrics(tmp_path / "run")] == [2, 3]


def test_a_budget_without_time_for_a_step_makes_one(tmp_path):
    config = dataclasses.replace(BY_CLOCK, budget="0.001s")
    result = trained(tmp_path / "run", clock=StepClock(), config=config)
    assert (result.is_finished, result.step, result.best_step) == (True, 1, 1)


def test_validations_keep_to_their_share_of_the_time(tmp_path):
    # One second a validation, a quarter of the time at most, wanted after every step: the first
    # after a step; the next once n - 1 steps and both are 2 of 8 seconds, which is after 6 steps
    # and the first; the third, 3 of 12, after 9 steps and the first two; the last at the end.
    config = dataclasses.replace(BY_CLOCK, budget="14s", val_share=0.25, validate_every=1)
    clock = StepClock(validation_s=1.0)
    result = trained(tmp_path / "run", clock=clock, config=config)
    steps = [line["step"] for line in metrics(tmp_path / "run")]
    assert steps == [1, 6, 9, 11]
    # Steps and the three validations before the last are the budget; the last comes on top.
    assert (result.step, result.cost["seconds"]) == (11, 15.0)


def test_without_a_budget_steps_decide_and_the_clock_changes_nothing(tmp_path):
    clock = StepClock(validation_s=50.0)
    result = trained(tmp_path / "run", clock=clock, config=CONFIG)
    assert (result.step, result.is_finished) == (6, True)
    assert [line["step"] for line in metrics(tmp_path / "run")] == [2, 4, 6]
