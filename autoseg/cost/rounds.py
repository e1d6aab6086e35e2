"""How long several functions take on a machine that is watched while they are timed.

One function after the other, whatever slows the machine meanwhile (heat, another program) is
charged to those that come last. Here every function is timed in several rounds, and between any two
blocks of runs the same fixed operation: where its time changes, so did the machine.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from autoseg.cost.device import measured_device
from autoseg.cost.latency import Latency, summarise, synchronised_clock, time_once, warm_up

_NUM_ROUNDS = 5
_NUM_MORE = 3
"""Rounds at most that measure again what was disturbed."""
_REFERENCE_RUNS = 7
_MAX_DRIFT = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    """Runs of one function that followed each other, and the machine around them."""

    runs_s: tuple[float, ...]
    before_s: float
    after_s: float

    def is_steady(self, usual_s: float, max_drift: float) -> bool:
        """Tell whether the reference took its usual time on both sides."""
        return all(
            abs(reference_s - usual_s) <= max_drift * usual_s
            for reference_s in (self.before_s, self.after_s)
        )


def measure_in_rounds(
    functions: Sequence[Callable[[], object]],
    *,
    device: torch.device | str,
    reference: Callable[[], object],
    min_runs: int = 20,
    min_seconds: float = 1.0,
    max_drift: float = _MAX_DRIFT,
    max_warm_up_seconds: float = 5.0,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Latency]:
    """Time functions in turn, and leave out what was timed while the machine was another.

    Each function is warmed up as in `measure_latency`, then timed in 5 rounds (or `min_runs`, if
    that is less); a block begins with one run that does not count. The reference is timed between
    blocks, by the median of 7 runs. A block is disturbed if the reference before or after it
    differs from its median over all by more than `max_drift`; disturbed blocks are left out and
    measured again, in at most 3 more rounds. If fewer than half of the rounds are undisturbed then,
    all blocks count and `drift` says what happened.

    Args:
        functions: Each is the whole of what is timed; see `measure_latency`.
        device: Where the work is done: "cpu", "cuda" or "cuda:N".
        reference: A fixed operation on the device, `reference_operation` for example.
        min_runs: At least so many runs of each are timed ...
        min_seconds: ... and for at least so long, in seconds, over all rounds.
        max_drift: Share of its usual time by which the reference may differ.
        max_warm_up_seconds: Bound on each warm-up, in seconds.
        clock: Time in seconds since any fixed moment.

    Returns:
        One for each function, in their order.

    Raises:
        ValueError: If the device is missing or no run is asked for.
    """
    if min_runs < 1:
        raise ValueError(f"measure_in_rounds: min_runs is {min_runs}; expected 1 or more.")
    device = measured_device(device)
    now = synchronised_clock(device, clock=clock)
    warm = [warm_up(function, now, max_seconds=max_warm_up_seconds) for function in functions]
    warm_up(reference, now, max_seconds=max_warm_up_seconds)
    num_rounds = min(_NUM_ROUNDS, min_runs)
    references_s = [_reference_time(reference, now)]
    blocks: list[list[_Block]] = [[] for _ in functions]

    def time_round(chosen: Sequence[int]) -> None:
        for i in chosen:
            functions[i]()  # the one before has emptied the caches
            runs_s: list[float] = []
            begin = now()
            while len(runs_s) * num_rounds < min_runs or (now() - begin) * num_rounds < min_seconds:
                runs_s.append(time_once(functions[i], now))
            references_s.append(_reference_time(reference, now))
            before_s, after_s = references_s[-2:]
            blocks[i].append(_Block(runs_s=tuple(runs_s), before_s=before_s, after_s=after_s))

    def steady(i: int) -> list[_Block]:
        usual_s = statistics.median(references_s)
        return [block for block in blocks[i] if block.is_steady(usual_s, max_drift)]

    for _ in range(num_rounds):
        time_round(range(len(functions)))
    for _ in range(_NUM_MORE):
        time_round([i for i in range(len(functions)) if len(steady(i)) < num_rounds])
    latencies = []
    for i, (warm_up_s, is_stable) in enumerate(warm):
        kept, drift = steady(i), None
        if 2 * len(kept) < num_rounds:
            kept, drift = blocks[i], _describe_drift(blocks[i], statistics.median(references_s))
        latencies.append(
            summarise(
                [block.runs_s for block in kept],
                warm_up_s,
                is_stable=is_stable,
                device=device,
                drift=drift,
            )
        )
    return latencies


def reference_operation(device: torch.device | str) -> Callable[[], object]:
    """Make a fixed operation of some milliseconds: a product of two square matrices.

    Args:
        device: "cpu" or "cuda:N".
    """
    side = 512 if torch.device(device).type == "cpu" else 4096
    matrix = torch.ones(side, side, device=device)
    return lambda: torch.mm(matrix, matrix)


def _reference_time(reference: Callable[[], object], now: Callable[[], float]) -> float:
    return statistics.median(time_once(reference, now) for _ in range(_REFERENCE_RUNS))


def _describe_drift(blocks: Sequence[_Block], usual_s: float) -> str:
    shares = [time_s / usual_s for block in blocks for time_s in (block.before_s, block.after_s)]
    return (
        f"the machine's speed changed: beside these runs a fixed operation took {min(shares):.0%} "
        f"to {max(shares):.0%} of its usual time"
    )
