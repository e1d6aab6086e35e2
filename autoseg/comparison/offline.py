"""The offline scenario: images a second where all are there from the start, in large batches.

Source: Reddi et al. 2020, "MLPerf Inference Benchmark", whose LoadGen gives the scenarios their
names: single-stream sends one image after the other, offline all at once.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from autoseg.comparison.timing import MAX_DIFFERENCE, Stages, TimingConfig, memory_of
from autoseg.cost import (
    USED_SHARE,
    Latency,
    foreseen_batch,
    free_memory_mib,
    is_out_of_memory,
    largest_batch,
    measure_in_rounds,
    memory_share,
    reference_operation,
    synchronised_clock,
    worthwhile_batch,
)
from autoseg.export import FormError

_LARGEST = 1024
_LARGEST_OF_CPU = 64
"""A CPU is busy with few images, and a call with many takes minutes."""
_NUM_TRIALS = 3
_MAX_RUNS = 5
"""A call has many images, so that fewer calls tell as much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Offline:
    """The largest batch of one row, and how long it takes."""

    batch: int
    """Images a call."""
    latency: Latency
    """Time of a call, from images in the host's memory to classes."""
    memory_mib: float | None
    """Peak of a call beyond weights and images; None where it cannot be measured."""

    @property
    def fields(self) -> dict[str, Any]:
        """What a row keeps of it."""
        return {
            "offline_batch": self.batch,
            "offline_latency_median_ms": self.latency.median_ms,
            "offline_images_per_second": 1000 * self.batch / self.latency.median_ms,
            "offline_memory_mib": self.memory_mib,
            "is_offline_latency_settled": self.latency.is_stable and self.latency.drift is None,
        }


def measure_offline(
    stages: Stages, *, has_crf: bool, device: torch.device, timing: TimingConfig
) -> Offline | str:
    """Find the largest batch of a network in its form, with the CRF or without, and time it.

    On a GPU batches are tried until memory runs out, within nine tenths of it. On a CPU they are
    doubled while that gives 2 % more images a second, up to 64 and to what nine tenths of the free
    memory hold, as foreseen from the peaks of one image and of two.

    Args:
        stages: What is timed of the network.
        has_crf: Whether the CRF follows it.
        device: Where the work is done.
        timing: How long the timing lasts, and how steady the machine must be.

    Returns:
        What was found, or why there is nothing.
    """
    run = _refine if has_crf else _predict
    try:
        with torch.inference_mode(), memory_share(device, USED_SHARE):
            batch = _find_batch(partial(_run_batch, run, stages), stages, device)
            if batch is None:
                return "one image does not fit into the memory."
            given = stages.repeated(batch)
            share = _different_share(run(given), run(stages.repeated(1)))
            if share > MAX_DIFFERENCE:
                return (
                    f"in a batch of {batch}, {share:.1%} of the pixels get another class than "
                    "alone, so that what would be timed is not what was scored."
                )
            (latency,) = measure_in_rounds(
                [partial(run, given)],
                device=device,
                reference=reference_operation(device),
                min_runs=min(timing.min_runs, _MAX_RUNS),
                min_seconds=timing.min_seconds,
                max_drift=timing.max_drift,
                max_warm_up_seconds=timing.max_warm_up_seconds,
                excused=(FormError,),
            )
            if isinstance(latency, FormError):
                return f"{latency}."
            whole = given.refined if has_crf else given.alone
            memory_mib = memory_of(given.from_scratch(whole), device=device, form=stages.form)
    except FormError as error:
        return f"{error}."
    return Offline(batch=batch, latency=latency, memory_mib=memory_mib)


def _predict(stages: Stages) -> Tensor:
    return stages.total()


def _refine(stages: Stages) -> Tensor:
    return stages.together()


def _run_batch(run: Callable[[Stages], Tensor], stages: Stages, num_images: int) -> Tensor:
    """Make a batch, so that its images are in the memory that is measured, and run it."""
    return run(stages.repeated(num_images))


def _find_batch(
    run_batch: Callable[[int], Tensor], stages: Stages, device: torch.device
) -> int | None:
    if device.type != "cpu":
        step = partial(_try_batch, run_batch, synchronised_clock(device))
        return largest_batch(step, smallest=1, largest=_LARGEST)
    free_mib = free_memory_mib()
    fitting = foreseen_batch(
        lambda n: memory_of(partial(run_batch, n), device=device, form=stages.form),
        free_mib=None if free_mib is None else USED_SHARE * free_mib,
        largest=_LARGEST_OF_CPU,
    )
    if fitting is None:
        return None
    clock = synchronised_clock(device)
    return worthwhile_batch(lambda n: _seconds(partial(run_batch, n), clock), largest=fitting)


def _try_batch(
    run_batch: Callable[[int], Tensor], wait: Callable[[], float], num_images: int
) -> None:
    try:
        run_batch(num_images)
        wait()  # a GPU says what went wrong when it has done the work
    except FormError as error:
        cause = error.__cause__
        if isinstance(cause, RuntimeError | MemoryError) and is_out_of_memory(cause):
            raise cause from error
        raise


def _seconds(function: Callable[[], object], clock: Callable[[], float]) -> float:
    """Time a call by the median of three, after one that does not count."""
    function()
    times = []
    for _ in range(_NUM_TRIALS):
        begin = clock()
        function()
        times.append(clock() - begin)
    return statistics.median(times)


def _different_share(batch: Tensor, alone: Tensor) -> float:
    """Return the largest share of an image's pixels that get another class than alone."""
    return float((batch != alone).float().mean(dim=(1, 2)).max())
