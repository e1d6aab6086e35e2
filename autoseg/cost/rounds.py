"""How long several functions take on a machine that is watched while they are timed.

One function after the other, whatever slows the machine meanwhile (heat, another program) is
charged to those that come last. Here every function is timed in several rounds, and between any two
blocks of runs the same fixed operation: where its time changes, so did the machine.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Never, TypeVar

import torch

from autoseg.cost.device import measured_device
from autoseg.cost.latency import Latency, stopwatch, summarise, synchronised_clock, warm_up

_E = TypeVar("_E", bound=Exception)

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
    excused: tuple[type[_E], ...] = (),
    on_timing: Callable[[int, int], None] = lambda *_: None,
) -> list[Latency | _E]:
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
        excused: Errors of a function that end its timing, and not that of the others.
        on_timing: Called after each warm-up and each block with the number of them that are done
            and how many there are in all, which grows by the blocks that are measured again.

    Returns:
        One for each function, in their order; for one that raised an excused error, that error.

    Raises:
        ValueError: If the device is missing or no run is asked for.
    """
    num_done, num_all = 0, len(functions) * (1 + min(_NUM_ROUNDS, min_runs))

    def count() -> None:
        nonlocal num_done
        num_done += 1
        on_timing(num_done, num_all)

    watched = _Watched[_E](
        functions,
        device=device,
        reference=reference,
        min_runs=min_runs,
        max_drift=max_drift,
        max_warm_up_seconds=max_warm_up_seconds,
        clock=clock,
        excused=excused,
        on_warm=count,
    )
    now, num_rounds = watched.now, watched.num_rounds

    def time_block(i: int) -> None:
        functions[i]()  # the one before has emptied the caches
        runs_s: list[float] = []
        begin = now()
        while len(runs_s) * num_rounds < min_runs or (now() - begin) * num_rounds < min_seconds:
            runs_s.append(watched.time_once(functions[i]))
        watched.keep({i: runs_s})

    def time_round(chosen: Sequence[int]) -> None:
        for i in chosen:
            if i not in watched.failures:
                with watched.excusing(i):
                    time_block(i)
            count()

    for _ in range(num_rounds):
        time_round(range(len(functions)))
    for _ in range(_NUM_MORE):
        again = watched.disturbed()
        num_all += len(again)
        time_round(again)
    return watched.latencies()


def measure_interleaved(
    functions: Sequence[Callable[[], object]],
    *,
    device: torch.device | str,
    reference: Callable[[], object],
    min_runs: int = 20,
    min_seconds: float = 1.0,
    max_drift: float = _MAX_DRIFT,
    max_warm_up_seconds: float = 5.0,
    clock: Callable[[], float] = time.perf_counter,
    seed: int = 0,
) -> list[Latency]:
    """Time each run of a function after a run of another one, as the parts of a program run.

    A function that is called again and again finds its weights and maps in the caches; in a
    program, what ran before has taken their place. Rounds, reference and what is left out are those
    of `measure_in_rounds`; a round runs all functions once, in an order drawn anew, as often as it
    takes, and is one block of each.

    Args:
        functions: The parts, which together should take as much memory as the program.
        device: Where the work is done: "cpu", "cuda" or "cuda:N".
        reference: A fixed operation on the device, `reference_operation` for example.
        min_runs: At least so many runs of each are timed ...
        min_seconds: ... and so many seconds for each on average, over all rounds.
        max_drift: Share of its usual time by which the reference may differ.
        max_warm_up_seconds: Bound on each warm-up, in seconds.
        clock: Time in seconds since any fixed moment.
        seed: Seed of the orders.

    Returns:
        One for each function, in their order.

    Raises:
        ValueError: If the device is missing or no run is asked for.
    """
    watched = _Watched[Never](
        functions,
        device=device,
        reference=reference,
        min_runs=min_runs,
        max_drift=max_drift,
        max_warm_up_seconds=max_warm_up_seconds,
        clock=clock,
    )
    now, num_rounds, orders = watched.now, watched.num_rounds, random.Random(seed)

    def time_round() -> None:
        runs_s: dict[int, list[float]] = {i: [] for i in range(len(functions))}
        order, num_sweeps, begin = list(runs_s), 0, now()
        functions[order[-1]]()
        while num_sweeps * num_rounds < min_runs or (
            now() - begin
        ) * num_rounds < min_seconds * len(functions):
            last = order[-1]
            orders.shuffle(order)
            if order[0] == last:  # no function follows itself
                order.append(order.pop(0))
            for i in order:
                runs_s[i].append(watched.time_once(functions[i]))
            num_sweeps += 1
        watched.keep(runs_s)

    for _ in range(num_rounds):
        time_round()
    for _ in range(_NUM_MORE):
        if watched.disturbed():
            time_round()
    return watched.latencies()


class _Watched(Generic[_E]):
    """Functions that were warmed up, and the blocks of their runs, with the machine around them."""

    def __init__(
        self,
        functions: Sequence[Callable[[], object]],
        *,
        device: torch.device | str,
        reference: Callable[[], object],
        min_runs: int,
        max_drift: float,
        max_warm_up_seconds: float,
        clock: Callable[[], float],
        excused: tuple[type[_E], ...] = (),
        on_warm: Callable[[], None] = lambda: None,
    ) -> None:
        if min_runs < 1:
            raise ValueError(f"min_runs is {min_runs}; expected 1 or more.")
        self._device, self._reference = measured_device(device), reference
        self._max_drift = max_drift
        self.now = synchronised_clock(self._device, clock=clock)
        self.time_once = stopwatch(self._device, clock=clock)
        self._excused = excused
        self.failures: dict[int, _E] = {}
        self._warm: list[tuple[list[float], bool]] = [([], False) for _ in functions]
        for i, each in enumerate(functions):
            with self.excusing(i):
                self._warm[i] = warm_up(
                    each, self.now, self.time_once, max_seconds=max_warm_up_seconds
                )
            on_warm()
        warm_up(reference, self.now, self.time_once, max_seconds=max_warm_up_seconds)
        self.num_rounds = min(_NUM_ROUNDS, min_runs)
        self._references_s = [_reference_time(reference, self.time_once)]
        self._blocks: list[list[_Block]] = [[] for _ in functions]

    @contextmanager
    def excusing(self, i: int) -> Iterator[None]:
        """Note an excused error of a function, which is not to be called again."""
        try:
            yield
        except self._excused as error:
            self.failures[i] = error

    def keep(self, runs_s: Mapping[int, Sequence[float]]) -> None:
        """Look at the machine, and keep what was timed since the last look: one block of each."""
        self._references_s.append(_reference_time(self._reference, self.time_once))
        before_s, after_s = self._references_s[-2:]
        for i, each in runs_s.items():
            self._blocks[i].append(_Block(runs_s=tuple(each), before_s=before_s, after_s=after_s))

    def disturbed(self) -> list[int]:
        """Return the functions that have fewer steady blocks than there are rounds."""
        return [i for i in range(len(self._blocks)) if len(self._steady(i)) < self.num_rounds]

    def latencies(self) -> list[Latency | _E]:
        """Read the times of every function from its steady blocks, or from all with a warning."""
        latencies: list[Latency | _E] = []
        for i, (warm_up_s, is_stable) in enumerate(self._warm):
            if i in self.failures:
                latencies.append(self.failures[i])
                continue
            kept, drift = self._steady(i), None
            if 2 * len(kept) < self.num_rounds:
                kept = self._blocks[i]
                drift = _describe_drift(kept, statistics.median(self._references_s))
            latencies.append(
                summarise(
                    [block.runs_s for block in kept],
                    warm_up_s,
                    is_stable=is_stable,
                    device=self._device,
                    drift=drift,
                )
            )
        return latencies

    def _steady(self, i: int) -> list[_Block]:
        usual_s = statistics.median(self._references_s)
        return [block for block in self._blocks[i] if block.is_steady(usual_s, self._max_drift)]


def reference_operation(device: torch.device | str) -> Callable[[], object]:
    """Make a fixed operation of some milliseconds: a product of two square matrices.

    Args:
        device: "cpu" or "cuda:N".
    """
    side = 512 if torch.device(device).type == "cpu" else 4096
    matrix = torch.ones(side, side, device=device)
    return lambda: torch.mm(matrix, matrix)


def _reference_time(
    reference: Callable[[], object], time_once: Callable[[Callable[[], object]], float]
) -> float:
    return statistics.median(time_once(reference) for _ in range(_REFERENCE_RUNS))


def _describe_drift(blocks: Sequence[_Block], usual_s: float) -> str:
    shares = [time_s / usual_s for block in blocks for time_s in (block.before_s, block.after_s)]
    return (
        f"the machine's speed changed: beside these runs a fixed operation took {min(shares):.0%} "
        f"to {max(shares):.0%} of its usual time"
    )
