"""How long a function takes once it is warm, with the spread.

A mean over a few runs hides three things: that the first runs build kernels, caches and clocks;
that a GPU answers before it has finished; and that some runs are much slower than most. Hence
warm-up until stable, a GPU's own events on both sides of each run, and percentiles.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from autoseg.cost.device import measured_device

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Shares of the runs that were at least as fast as the times that describe their spread."""

_WINDOW_RUNS = 3
_WINDOW_SECONDS = 0.1  # so that a fast function does not look stable before the clocks have risen
_STABLE_CHANGE = 0.05
_NUM_RESAMPLES = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Time of one call, over many calls of the same function."""

    median_ms: float
    """Half of the runs were at least as fast, in milliseconds."""

    p90_ms: float
    """Nine of ten runs were at least as fast, in milliseconds."""

    p99_ms: float
    """99 of 100 runs were at least as fast, in milliseconds; near the slowest for few runs."""

    cold_ms: float
    """The very first call, in milliseconds, set-up included; not part of the percentiles."""

    median_low_ms: float
    """Lower end of the median's 95 % interval, in milliseconds; see `median_interval`."""

    median_high_ms: float
    """Upper end of that interval, in milliseconds."""

    num_runs: int
    """Runs behind the percentiles."""

    quantiles_ms: tuple[float, ...]
    """`QUANTILES` of the runs, in milliseconds."""

    warm_up_runs: int
    """Runs before them, the cold one included."""

    is_stable: bool
    """Whether the warm-up ended because the times had settled, not because its bound was hit."""

    device: str
    """Where the work was waited for, for example "cpu" or "cuda:0"."""

    num_threads: int
    """Threads that torch may use inside an operator on the CPU."""

    drift: str | None = None
    """Why the times compare with no others: how the machine's speed varied around them. None: it
    did not, or nobody looked."""


def measure_latency(
    function: Callable[[], object],
    *,
    device: torch.device | str,
    min_runs: int = 20,
    min_seconds: float = 1.0,
    max_warm_up_seconds: float = 5.0,
    clock: Callable[[], float] = time.perf_counter,
) -> Latency:
    """Time a function, call by call, after it has warmed up.

    Warm-up: runs are grouped into windows of at least 3 runs and 0.1 s. It ends when the medians of
    two successive windows differ by at most 5 % of the earlier one, or with the first run that ends
    after `max_warm_up_seconds`; `is_stable` says which. Each run is timed by `stopwatch`: by the
    clock on a CPU, by the device's events on a GPU. Percentiles are interpolated linearly between
    the sorted times.

    Args:
        function: The whole of what is timed, for a network for example
            `torch.inference_mode()(lambda: network(images).argmax(dim=1))` with the network in eval
            mode and the images on the device. Its result is thrown away.
        device: Where the work is done: "cpu", "cuda" or "cuda:N". No other device is waited for.
        min_runs: At least so many runs are timed ...
        min_seconds: ... and for at least so long, in seconds.
        max_warm_up_seconds: Bound on the warm-up, in seconds; one run may exceed it.
        clock: Time in seconds since any fixed moment.

    Returns:
        Median, percentiles, and how they came about.

    Raises:
        ValueError: If the device is missing or no run is asked for.
    """
    if min_runs < 1:
        raise ValueError(f"measure_latency: min_runs is {min_runs}; expected 1 or more.")
    device = measured_device(device)
    now, time_once = synchronised_clock(device, clock=clock), stopwatch(device, clock=clock)
    warm_up_s, is_stable = warm_up(function, now, time_once, max_seconds=max_warm_up_seconds)
    runs_s: list[float] = []
    begin = now()
    while len(runs_s) < min_runs or now() - begin < min_seconds:
        runs_s.append(time_once(function))
    return summarise([runs_s], warm_up_s, is_stable=is_stable, device=device)


def summarise(
    blocks_s: Sequence[Sequence[float]],
    warm_up_s: Sequence[float],
    *,
    is_stable: bool,
    device: torch.device,
    drift: str | None = None,
) -> Latency:
    """Read percentiles from times in seconds, in blocks of runs that followed each other."""
    runs_s = [run for block in blocks_s for run in block]
    median_s, p90_s, p99_s = np.percentile(runs_s, (50, 90, 99)).tolist()
    low_s, high_s = median_interval(blocks_s)
    return Latency(
        median_ms=1000 * median_s,
        p90_ms=1000 * p90_s,
        p99_ms=1000 * p99_s,
        median_low_ms=1000 * low_s,
        median_high_ms=1000 * high_s,
        cold_ms=1000 * warm_up_s[0],
        num_runs=len(runs_s),
        quantiles_ms=tuple((1000 * np.quantile(runs_s, QUANTILES)).tolist()),
        warm_up_runs=len(warm_up_s),
        is_stable=is_stable,
        device=str(device),
        num_threads=torch.get_num_threads(),
        drift=drift,
    )


def median_interval(blocks: Sequence[Sequence[float]], *, seed: int = 0) -> tuple[float, float]:
    """Bound the median of times that were taken in blocks.

    Blocks are drawn anew with replacement, and in each its runs; of 500 such draws the interval
    holds the middle 95 % of the medians. Runs of one block resemble each other, which an interval
    over single runs would mistake for certainty.

    Args:
        blocks: Times, at least one in each block.
        seed: Seed of the draws.

    Source: Davison and Hinkley 1997, "Bootstrap Methods and their Application", section 3.8.
    """
    generator = np.random.default_rng(seed)
    arrays = [np.asarray(block) for block in blocks]
    samples = []
    for _ in range(_NUM_RESAMPLES):
        drawn = [arrays[i] for i in generator.integers(len(arrays), size=len(arrays))]
        runs = [block[generator.integers(len(block), size=len(block))] for block in drawn]
        samples.append(np.concatenate(runs))
    if len({len(sample) for sample in samples}) == 1:  # as of blocks of one length: all at once
        medians = np.median(samples, axis=1)
    else:
        medians = np.array([np.median(sample) for sample in samples])
    low, high = np.quantile(medians, (0.025, 0.975))
    return float(low), float(high)


def synchronised_clock(
    device: torch.device | str, *, clock: Callable[[], float] = time.perf_counter
) -> Callable[[], float]:
    """Make a clock that waits until the device has done all work before it is read.

    Args:
        device: "cpu", "cuda" or "cuda:N". The CPU has nothing to wait for.
        clock: Time in seconds since any fixed moment.

    Returns:
        A function without arguments that returns seconds.

    Raises:
        ValueError: If the device is missing.
    """
    device = measured_device(device)
    if device.type == "cpu":
        return clock
    return partial(_wait_and_read, device, clock)


def _wait_and_read(device: torch.device, clock: Callable[[], float]) -> float:
    torch.cuda.synchronize(device)
    return clock()


def stopwatch(
    device: torch.device | str, *, clock: Callable[[], float] = time.perf_counter
) -> Callable[[Callable[[], object]], float]:
    """Make what times one call on a device.

    On a GPU a call lies between two events of the device's current stream, recorded when nothing
    else is left to do: a copy of some microseconds is shorter than a wait for the device. What a
    call does on other streams counts as far as the current one waits for it.

    Args:
        device: "cpu", "cuda" or "cuda:N".
        clock: Time in seconds since any fixed moment; a GPU's events have their own.

    Returns:
        A function that calls its argument and returns the seconds that this took.

    Raises:
        ValueError: If the device is missing.
    """
    device = measured_device(device)
    if device.type == "cpu":
        return partial(_time_by_clock, clock)
    return partial(_time_by_events, device)


def _time_by_clock(clock: Callable[[], float], function: Callable[[], object]) -> float:
    start = clock()
    function()
    return clock() - start


def _time_by_events(device: torch.device, function: Callable[[], object]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    stream = torch.cuda.current_stream(device)
    torch.cuda.synchronize(device)
    start.record(stream)
    function()
    end.record(stream)
    torch.cuda.synchronize(device)
    return start.elapsed_time(end) / 1000  # it gives milliseconds


def warm_up(
    function: Callable[[], object],
    now: Callable[[], float],
    time_once: Callable[[Callable[[], object]], float],
    *,
    max_seconds: float,
) -> tuple[list[float], bool]:
    """Run until the times settle or the bound is hit; return them, in seconds, and which it was.

    Args:
        function: The whole of what is timed.
        now: Time in seconds, for the bound; see `synchronised_clock`.
        time_once: Times one call; see `stopwatch`.
        max_seconds: Bound on the warm-up; one run may exceed it.
    """
    runs_s: list[float] = []
    window: list[float] = []
    previous = None
    begin = now()
    while True:
        window.append(time_once(function))
        runs_s.append(window[-1])
        if len(window) >= _WINDOW_RUNS and sum(window) >= _WINDOW_SECONDS:
            median = statistics.median(window)
            if previous is not None and abs(median - previous) <= _STABLE_CHANGE * previous:
                return runs_s, True
            previous, window = median, []
        if now() - begin >= max_seconds:
            return runs_s, False
