"""Measure how long the parts of a space's networks take."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import torch
from torch import Tensor, nn

from autoseg.cost import Latency, measure_interleaved, reference_operation
from autoseg.pricing.latency_table import LatencyTable, Machine, PartTime
from autoseg.pricing.parts import Part, PricedNetworks, parts_of

_CALLS_ON_A_GPU = 20
"""Calls that a GPU is given before it is waited for: in a network the parts queue up likewise."""


def measure_table(
    networks: PricedNetworks,
    *,
    device: torch.device,
    min_runs: int = 20,
    min_seconds: float = 0.1,
    max_warm_up_seconds: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
) -> LatencyTable:
    """Time every part, each run after that of another part: see `measure_interleaved`.

    Called again and again by itself, a part finds its weights and its input in the caches, and
    takes about a fifth less time than in a network.

    Each is in eval mode, in float32, with random weights and one random image. torch's random
    numbers are the same afterwards.

    Args:
        networks: The networks.
        device: Where they will be used.
        min_runs: At least so many runs of each part ...
        min_seconds: ... and at least for so long, in seconds.
        max_warm_up_seconds: Bound on each warm-up, in seconds.
        clock: Time in seconds since any fixed moment.

    Raises:
        ValueError: If the device is missing.
    """
    parts = parts_of(networks)
    num_calls = 1 if device.type == "cpu" else _CALLS_ON_A_GPU
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        states = {shape: torch.randn(shape).to(device) for shape in {p.input_shape for p in parts}}
        calls = [
            _repeated(_built(part, device), states[part.input_shape], num_calls) for part in parts
        ]
        times = measure_interleaved(
            calls,
            device=device,
            reference=reference_operation(device),
            min_runs=min_runs,
            min_seconds=min_seconds,
            max_warm_up_seconds=max_warm_up_seconds,
            clock=clock,
        )
    return LatencyTable(
        networks=networks,
        machine=Machine.here(device),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        parts={
            part.name: _time_of_one(latency, num_calls)
            for part, latency in zip(parts, times, strict=True)
        },
    )


def _built(part: Part, device: torch.device) -> nn.Module:
    return part.build().eval().to(device)


def _repeated(module: nn.Module, state: Tensor, num_calls: int) -> Callable[[], None]:
    def call() -> None:
        for _ in range(num_calls):
            module(state)

    return call


def _time_of_one(latency: Latency, num_calls: int) -> PartTime:
    return PartTime(
        median_ms=latency.median_ms / num_calls,
        low_ms=latency.median_low_ms / num_calls,
        high_ms=latency.median_high_ms / num_calls,
        num_runs=latency.num_runs,
        is_steady=latency.is_stable and latency.drift is None,
    )
