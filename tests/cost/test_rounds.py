"""A machine that changes is seen, on a clock that only the test moves."""

import itertools

import pytest
import torch

from autoseg.cost import measure_in_rounds, measure_interleaved, reference_operation
from autoseg.cost.latency import median_interval

REFERENCE = 0.5


class Machine:
    """Work takes its seconds times `slowness`, which may depend on the time or on the work."""

    def __init__(self, slowness=lambda now, calls: 1.0):
        self.now, self.calls, self.slowness = 0.0, [], slowness

    def clock(self):
        return self.now

    def work(self, name, seconds):
        def function():
            self.calls.append(name)
            self.now += seconds * self.slowness(self.now, self.calls)

        return function

    def measure(self, *seconds, min_runs=10, measured=measure_in_rounds, **settings):
        functions = [self.work(name, each) for name, each in zip("abc", seconds, strict=False)]
        return measured(
            functions, device="cpu", reference=self.work("-", REFERENCE), min_runs=min_runs,
            min_seconds=0, max_warm_up_seconds=1000, clock=self.clock, **settings,
        )  # fmt: skip


def approx(value):
    return pytest.approx(value, abs=1e-6)


def test_a_steady_machine_needs_no_more_than_its_rounds():
    machine = Machine()
    first, second = machine.measure(1.0, 3.0)
    assert (first.median_ms, second.median_ms) == (approx(1000), approx(3000))
    assert (first.median_low_ms, first.median_high_ms) == (approx(1000), approx(1000))
    assert (first.num_runs, first.is_stable, first.drift) == (10, True, None)
    assert first.num_threads == torch.get_num_threads()
    # Warm-up of each and of the reference: two windows of three; then the rounds, in turn, with
    # one run that does not count and two that do.
    block = "-" * 7
    assert "".join(machine.calls) == "a" * 6 + "b" * 6 + "-" * 6 + block + 5 * (
        "aaa" + block + "bbb" + block
    )


def test_what_was_disturbed_is_measured_again():
    """Another program runs while b is timed in the second round, and for a while after."""
    machine = Machine(lambda now, calls: 3.0 if 57 <= len(calls) <= 65 else 1.0)
    first, second = machine.measure(1.0, 3.0)
    assert (first.median_ms, first.p99_ms) == (approx(1000), approx(1000))
    assert (second.median_ms, second.p99_ms) == (approx(3000), approx(3000))
    assert first.drift is None and second.drift is None
    # One block more of b, and of a, which came after it.
    assert [machine.calls.count(name) for name in "ab"] == [6 + 6 * 3] * 2
    assert first.num_runs == second.num_runs == 10


@pytest.mark.parametrize("slow", [False, True])
def test_a_long_timing_says_how_far_it_is(slow):
    """Every block beside a disturbance is counted anew, and the last count is of all."""
    machine = Machine(lambda now, calls: 3.0 if slow and 57 <= len(calls) <= 65 else 1.0)
    told = []
    machine.measure(
        1.0, 3.0, on_timing=lambda done, of_all: told.append((machine.now, done, of_all))
    )
    times, counts, totals = zip(*told, strict=True)
    # Two warm-ups and five rounds of two blocks; above, one block more of each.
    assert list(counts) == list(range(1, 13 + 2 * slow))
    assert totals[:12] == (12,) * 12 and totals[-1] == len(counts)
    # Told while it lasts: no two counts are further apart than a slow block of b and references.
    gaps = [after - before for before, after in itertools.pairwise((0.0, *times))]
    assert max(gaps) <= 3 * (6 * 3.0 + 13 * REFERENCE)


def test_a_machine_that_slows_down_all_the_time_ranks_nothing():
    """Each call is half a percent slower than the one before: the last are twice as slow."""
    machine = Machine(lambda now, calls: 1.005 ** len(calls))
    latencies = machine.measure(1.0, 1.0)
    for latency in latencies:
        assert latency.drift.startswith(
            "the machine's speed changed: beside these runs a fixed operation took "
        )
    # Charged one after the other, the two equal functions would differ by far more.
    assert latencies[0].median_ms == pytest.approx(latencies[1].median_ms, rel=0.15)


def test_the_bound_on_drift_is_the_callers():
    machine = Machine(lambda now, calls: 1.005 ** len(calls))
    assert machine.measure(1.0, max_drift=100.0)[0].drift is None


def test_no_warm_up_is_seen_as_unsettled():
    machine = Machine(lambda now, calls: 9.0 if len(calls) < 8 else 1.0)
    (latency,) = measure_in_rounds(
        [machine.work("a", 1.0)], device="cpu", reference=machine.work("-", REFERENCE),
        min_runs=2, min_seconds=0, max_warm_up_seconds=0, clock=machine.clock,
    )  # fmt: skip
    assert not latency.is_stable


def test_the_time_is_shared_by_the_rounds():
    machine = Machine()
    (latency,) = measure_in_rounds(
        [machine.work("a", 0.25)], device="cpu", reference=machine.work("-", REFERENCE),
        min_runs=5, min_seconds=10, clock=machine.clock,
    )  # fmt: skip
    assert latency.num_runs == 40  # five rounds of two seconds


def test_parts_that_are_interleaved_take_what_they_take_in_a_program():
    """A call takes its seconds once more unless the call before was of the same function."""

    def slowness(now, calls):
        return 1.0 if calls[-2:] == 2 * calls[-1:] else 2.0

    program = Machine(slowness)
    for name in "abcab":
        program.work(name, {"a": 1.0, "b": 2.0, "c": 4.0}[name])()
    times_ms = {}
    for measured in (measure_in_rounds, measure_interleaved):
        machine = Machine(slowness)
        times_ms[measured] = [
            each.median_ms for each in machine.measure(1.0, 2.0, 4.0, measured=measured)
        ]
    a, b, c = times_ms[measure_interleaved]
    assert a + b + c + a + b == approx(1000 * program.now)
    assert times_ms[measure_in_rounds] == [approx(a / 2), approx(b / 2), approx(c / 2)]


def test_interleaved_parts_run_equally_often_in_orders_that_differ():
    machine = Machine()
    first, second, third = machine.measure(1.0, 2.0, 3.0, measured=measure_interleaved)
    assert {latency.num_runs for latency in (first, second, third)} == {10}
    _, *rounds = "".join(machine.calls).rsplit("-" * 7, 6)[:-1]
    assert len(rounds) == 5
    orders = [each[at : at + 3] for each in rounds for at in (1, 4)]
    assert {"".join(sorted(order)) for order in orders} == {"abc"}
    assert len(set(orders)) > 2
    assert not any(twice in each for each in rounds for twice in ("aa", "bb", "cc"))


def test_a_round_of_interleaved_parts_that_was_disturbed_is_made_again():
    """Another program runs in the second round, and while the machine is looked at after it."""
    machine = Machine(lambda now, calls: 3.0 if 40 <= len(calls) <= 50 else 1.0)
    first, second = machine.measure(1.0, 3.0, measured=measure_interleaved)
    assert (first.p99_ms, second.p99_ms) == (approx(1000), approx(3000))
    assert first.num_runs == second.num_runs == 10
    assert first.drift is None and second.drift is None


@pytest.mark.parametrize("num_lasting", [0, 2, 7])
def test_an_excused_error_ends_one_timing_alone(num_lasting):
    """It comes in the first call, in the warm-up or in a block, and the others go on."""
    machine, error = Machine(), KeyError("gone")

    def failing():
        machine.calls.append("x")
        if machine.calls.count("x") > num_lasting:
            raise error
        machine.now += 2.0

    functions = [machine.work("a", 1.0), failing, machine.work("b", 3.0)]
    settings = {
        "device": "cpu", "reference": machine.work("-", REFERENCE), "min_runs": 10,
        "min_seconds": 0, "max_warm_up_seconds": 1000, "clock": machine.clock,
    }  # fmt: skip
    first, failed, last = measure_in_rounds(functions, **settings, excused=(KeyError,))
    assert failed is error and machine.calls.count("x") == num_lasting + 1
    assert (first.median_ms, first.num_runs) == (approx(1000), 10)
    assert (last.median_ms, last.num_runs) == (approx(3000), 10)
    with pytest.raises(KeyError, match="gone"):
        measure_in_rounds(functions, **settings, excused=(OSError,))


def test_no_run_at_all_is_refused():
    with pytest.raises(ValueError, match="min_runs is 0; expected 1 or more"):
        Machine().measure(1.0, min_runs=0)


def test_the_interval_holds_the_median_and_sees_blocks():
    alike = [[1.0, 2.0, 3.0]] * 5
    low, high = median_interval(alike)
    assert low <= 2.0 <= high
    # The same times, block by block: how the median varies is told by the blocks, not the runs.
    apart = [[1.0] * 3, [1.0] * 3, [2.0] * 3, [3.0] * 3, [3.0] * 3]
    assert median_interval(apart) == (1.0, 3.0)
    assert median_interval([[5.0]]) == (5.0, 5.0)


def test_the_reference_is_a_fixed_product():
    assert reference_operation("cpu")().unique().tolist() == [512.0]
