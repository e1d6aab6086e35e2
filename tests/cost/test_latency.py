"""Warm-up, statistics and synchronisation, on clocks that only the test moves."""

import itertools
import time
from collections.abc import Callable, Iterable
from functools import partial

import pytest
import torch

from autoseg.cost import measure_in_rounds, measure_latency, synchronised_clock


class FakeClock:
    """Seconds that pass only while the function under test runs."""

    def __init__(self, durations: Iterable[float]) -> None:
        self.now = 100.0
        self.durations = iter(durations)
        self.num_calls = 0

    def __call__(self) -> float:
        return self.now

    def function(self) -> None:
        self.now += next(self.durations)
        self.num_calls += 1


def approx(value: float):
    # Differences of clock readings near 100 s in float64: good to about 1e-14 s.
    return pytest.approx(value, abs=1e-9)


def test_percentiles_are_interpolated_between_sorted_times() -> None:
    # Six equal warm-up runs of 50 ms are stable (two windows of three). Then 1, 2, ..., 11 ms in
    # disorder: position q * (11 - 1) in the sorted times is 5 for the median, 9 for p90 and 9.9
    # for p99.
    timed = [7, 1, 11, 3, 9, 5, 2, 10, 4, 8, 6]
    clock = FakeClock([0.050] * 6 + [ms / 1000 for ms in timed])
    latency = measure_latency(clock.function, device="cpu", min_runs=11, min_seconds=0, clock=clock)
    assert latency.median_ms == approx(6)
    assert latency.p90_ms == approx(10)
    assert latency.p99_ms == approx(10.9)
    assert latency.quantiles_ms == approx((1.5, 3.5, 6, 8.5, 10.5))
    assert (latency.num_runs, latency.warm_up_runs, latency.is_stable) == (11, 6, True)
    assert clock.num_calls == 17
    assert latency.device == "cpu"
    assert latency.num_threads == torch.get_num_threads()


def test_warm_up_goes_on_while_the_times_fall() -> None:
    # Windows of three with medians 400, 200, 100, 96 ms: the last change is 4 %, the first within
    # the 5 % allowed. The cold run is reported apart.
    warm_up = [0.9, 0.4, 0.4, 0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.096, 0.096, 0.096]
    clock = FakeClock(itertools.chain(warm_up, itertools.repeat(0.096)))
    latency = measure_latency(clock.function, device="cpu", min_runs=3, min_seconds=0, clock=clock)
    assert (latency.warm_up_runs, latency.is_stable) == (12, True)
    assert latency.cold_ms == approx(900)
    assert latency.p99_ms == approx(96)


@pytest.mark.parametrize(("second", "num_runs"), [(10.49, 6), (9.51, 6), (10.6, 9), (9.4, 9)])
def test_stable_means_five_per_cent_either_way(second: float, num_runs: int) -> None:
    clock = FakeClock(itertools.chain([10.0] * 3, itertools.repeat(second)))
    latency = measure_latency(
        clock.function,
        device="cpu",
        min_runs=1,
        min_seconds=0,
        max_warm_up_seconds=1000,
        clock=clock,
    )
    assert latency.warm_up_runs == num_runs
    assert latency.is_stable


def test_a_fast_function_is_warmed_up_for_two_tenths_of_a_second() -> None:
    clock = FakeClock(itertools.repeat(2**-10))  # about 1 ms, exact in binary
    latency = measure_latency(clock.function, device="cpu", min_runs=1, min_seconds=0, clock=clock)
    runs_a_window = 103  # the first number of runs that lasts 0.1 s: 0.1 * 1024 = 102.4
    assert (latency.warm_up_runs, latency.is_stable) == (2 * runs_a_window, True)


def test_warm_up_is_bounded_and_says_so() -> None:
    # Times that never settle: 1, 2, 4, ... s. The bound of 5 s is passed in the third run.
    clock = FakeClock(2.0**n for n in itertools.count())
    latency = measure_latency(
        clock.function,
        device="cpu",
        min_runs=2,
        min_seconds=0,
        max_warm_up_seconds=5,
        clock=clock,
    )
    assert (latency.warm_up_runs, latency.is_stable) == (3, False)
    assert latency.median_ms == approx(1000 * (8 + 16) / 2)


def test_one_run_warms_up_even_without_time_for_it() -> None:
    clock = FakeClock(itertools.repeat(3.0))
    latency = measure_latency(
        clock.function, device="cpu", min_runs=2, min_seconds=0, max_warm_up_seconds=0, clock=clock
    )
    assert (latency.warm_up_runs, latency.num_runs, latency.is_stable) == (1, 2, False)


@pytest.mark.parametrize(
    ("min_runs", "min_seconds", "expected"), [(20, 1.0, 20), (2, 1.0, 4), (4, 0.5, 4)]
)
def test_both_minima_are_kept(min_runs: int, min_seconds: float, expected: int) -> None:
    clock = FakeClock(itertools.repeat(0.25))
    latency = measure_latency(
        clock.function, device="cpu", min_runs=min_runs, min_seconds=min_seconds, clock=clock
    )
    assert latency.num_runs == expected


class FakeEvent:
    """Takes the time at which the GPU has done what was queued before it, in milliseconds."""

    def __init__(self, gpu: "FakeGpu", *, enable_timing: bool) -> None:
        assert enable_timing
        self.gpu, self.at, self.stream = gpu, 0.0, ""

    def record(self, stream: str) -> None:
        self.at, self.stream = max(self.gpu.host, self.gpu.free_at), stream

    def elapsed_time(self, end: "FakeEvent") -> float:
        assert self.gpu.host >= end.at, "the event has not happened yet"
        self.gpu.streams |= {self.stream, end.stream}
        return 1000 * (end.at - self.at)


class FakeGpu:
    """Work is queued in 1 ms and done 10 ms later; waiting moves the host's clock to its end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host = 0.0
        self.free_at = 0.0
        self.waited_for: list[torch.device] = []
        self.streams: set[str] = set()
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "synchronize", self.wait)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
        monkeypatch.setattr(torch.cuda, "Event", partial(FakeEvent, self))

    def launch(self) -> None:
        self.host += 0.001
        self.free_at = max(self.free_at, self.host) + 0.010

    def wait(self, device: torch.device) -> None:
        self.waited_for.append(device)
        self.host = max(self.host, self.free_at)

    def clock(self) -> float:
        return self.host


def test_asynchronous_work_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu(monkeypatch)
    latency = measure_latency(
        gpu.launch, device="cuda:1", min_runs=5, min_seconds=0, clock=gpu.clock
    )
    # Without the wait every run would seem to take the 1 ms of its launch.
    assert latency.median_ms == latency.p99_ms == approx(11)
    assert latency.device == "cuda:1"
    assert set(gpu.waited_for) == {torch.device("cuda:1")}
    assert gpu.streams == {"stream of cuda:1"}


def test_a_gpus_times_hold_no_wait_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu(monkeypatch)

    def slow_wait(device: torch.device) -> None:
        gpu.wait(device)
        gpu.host += 0.5

    monkeypatch.setattr(torch.cuda, "synchronize", slow_wait)
    settings = {"min_runs": 3, "min_seconds": 0.0, "max_warm_up_seconds": 0.0, "clock": gpu.clock}
    assert measure_latency(gpu.launch, device="cuda", **settings).median_ms == approx(11)
    (latency,) = measure_in_rounds([gpu.launch], device="cuda", reference=gpu.launch, **settings)
    assert (latency.median_ms, latency.drift) == (approx(11), None)


def test_work_queued_before_is_not_charged_to_the_first_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = FakeGpu(monkeypatch)
    gpu.free_at = 7.0
    latency = measure_latency(gpu.launch, device="cuda", min_runs=1, min_seconds=0, clock=gpu.clock)
    assert latency.cold_ms == approx(11)


def test_the_cpu_waits_for_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu(monkeypatch)
    clock = FakeClock(itertools.repeat(0.1))
    measure_latency(clock.function, device="cpu", min_runs=1, min_seconds=0, clock=clock)
    assert synchronised_clock("cpu", clock=clock) is clock
    assert gpu.waited_for == []


@pytest.mark.gpu
def test_a_gpus_events_agree_with_the_hosts_clock() -> None:
    matrix = torch.ones(4096, 4096, device="cuda")

    def work() -> None:
        for _ in range(20):
            torch.mm(matrix, matrix)

    def host_ms(function: Callable[[], None]) -> float:
        torch.cuda.synchronize()
        begin = time.perf_counter()
        function()
        torch.cuda.synchronize()
        return 1000 * (time.perf_counter() - begin)

    latency = measure_latency(work, device="cuda")
    by_host_ms = sorted(host_ms(work) for _ in range(21))[10]
    # The two ways differ by one launch and one wait, some 0.1 ms, and by the clocks' drift.
    assert latency.median_ms == pytest.approx(by_host_ms, rel=0.1, abs=0.3)


def test_no_run_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="min_runs is 0; expected 1 or more"):
        measure_latency(lambda: None, device="cpu", min_runs=0)
