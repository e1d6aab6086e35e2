"""Measure the variants of a setting in turn, and hold them against each other."""

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

from autoseg.runs import Progress
from autoseg.strategies.graph import NUM_EAGER_STEPS

from .setting import GRAPH_VARIANTS, Calls, Measurement, Row, Setting, StepTime, Variant
from .work import Ceilings, count_work
from .worker import Unavailable, VariantProcess, dtype_of

_NUM_WARM_UP = 1
_NUM_WARM_UP_GRAPH = NUM_EAGER_STEPS + 1  # the last one captures
_NUM_COUNTING = 1


def num_warm_up(variant: Variant) -> int:
    """Return how many steps a variant makes before the counted ones."""
    return _NUM_WARM_UP_GRAPH if variant in GRAPH_VARIANTS else _NUM_WARM_UP


def num_steps(variants: Sequence[Variant], num_repeats: Callable[[Variant], int]) -> int:
    """Return how many steps `measure_setting` makes, for the display of progress."""
    return sum(num_warm_up(v) + num_repeats(v) + _NUM_COUNTING for v in variants)


def measure_setting(
    setting: Setting,
    variants: Sequence[Variant],
    *,
    num_repeats: Callable[[Variant], int],
    progress: Progress,
) -> list[Measurement]:
    """Measure variants of one setting, which take turns step by step, each in its own process.

    Args:
        setting: The sizes.
        variants: What is measured; one that fails has a measurement that says why.
        num_repeats: Counted steps of a variant.
        progress: Is told of every step.
    """
    runs = [_Run(setting, variant, num_repeats(variant), progress) for variant in variants]
    with ExitStack() as stack:
        for run in runs:
            run.start(stack)
        for number in range(max(run.num_steps for run in runs)):
            for run in runs:
                if number < run.num_steps:
                    run.step()
        for run in runs:
            run.finish()
    return [run.measurement() for run in runs]


class _Run:
    """One variant's way through its steps; after a failure it does nothing more."""

    def __init__(
        self, setting: Setting, variant: Variant, num_repeats: int, progress: Progress
    ) -> None:
        self._num_warm_up = num_warm_up(variant)
        self.num_steps = self._num_warm_up + num_repeats
        self._setting = setting
        self._variant: Variant = variant
        self._progress = progress
        self._process: VariantProcess | None = None
        self._times: list[StepTime] = []
        self._num_left = self.num_steps + _NUM_COUNTING
        self._memory_mib: float | None = None
        self._calls: Calls | None = None
        self._failure: str | None = None

    def start(self, stack: ExitStack) -> None:
        """Build the variant in a process that the stack ends."""
        self._progress.write(f"{self._setting.label}: building {self._variant}")
        try:
            self._process = stack.enter_context(VariantProcess(self._setting, self._variant))
        except Unavailable as error:
            self._fail(error)

    def step(self) -> None:
        """Make one step, the first of which warms up."""
        if self._process is None:
            return
        try:
            self._times.append(self._process.step())
        except Unavailable as error:
            self._fail(error)
        else:
            self._count()

    def finish(self) -> None:
        """Read the peak of memory, count the calls of one more step, and free the process."""
        if self._process is None:
            return
        try:
            self._memory_mib = self._process.memory_mib()
            self._calls = self._process.count_calls()
        except Unavailable as error:
            self._fail(error)
        else:
            self._count()
            self._process.close()

    def measurement(self) -> Measurement:
        """Return what was found."""
        return Measurement(
            setting=self._setting,
            variant=self._variant,
            warm_up=tuple(self._times[: self._num_warm_up]),
            times=tuple(self._times[self._num_warm_up :]) if self._failure is None else (),
            memory_mib=self._memory_mib if self._failure is None else None,
            calls=self._calls,
            failure=self._failure,
        )

    def _count(self) -> None:
        self._num_left -= 1
        step_s = self._times[-1].step_ms / 1000
        self._progress.update(variant=self._variant, step_s=step_s)

    def _fail(self, error: Unavailable) -> None:
        self._failure, self._process = str(error), None
        self._progress.write(f"not measured: {self._variant}: {error}")
        self._progress.update(self._num_left)
        self._num_left = 0


def compare(rows: Sequence[Row]) -> list[Row]:
    """Hold rows of one setting against the peer's and the reference's, where these are among them.

    Args:
        rows: As `row_of` makes them, or as they come from here.
    """
    by_variant = {row.variant: row for row in rows}
    peer, reference = by_variant.get("peer"), by_variant.get("reference")
    return [
        replace(
            row,
            speedup_peer_min=_ratio(peer, row, "step_min_ms"),
            speedup_peer_median=_ratio(peer, row, "step_median_ms"),
            speedup_reference_min=_ratio(reference, row, "step_min_ms"),
            speedup_reference_median=_ratio(reference, row, "step_median_ms"),
            memory_peer=_ratio(peer, row, "memory_mib"),
            memory_reference=_ratio(reference, row, "memory_mib"),
        )
        for row in rows
    ]


def row_of(measurement: Measurement, ceilings: Ceilings) -> Row:
    """Make a row that is not held against others yet."""
    setting, space = measurement.setting, measurement.setting.space
    work = count_work(
        space,
        crop=setting.crop,
        batch_size=setting.batch_size,
        num_classes=setting.num_classes,
    )
    floor_ms = ceilings.floor_ms(work, bytes_an_element=dtype_of(setting.precision).itemsize)
    step_min_ms = _summarise(min, measurement, "step_ms")
    return Row(
        variant=measurement.variant,
        space=space.name,
        num_layers=space.num_layers,
        filter_multiplier=space.filter_multiplier,
        num_nodes=space.num_nodes,
        num_classes=setting.num_classes,
        crop=setting.crop,
        batch_size=setting.batch_size,
        device=setting.device,
        precision=setting.precision,
        num_threads=setting.num_threads,
        num_repeats=len(measurement.times),
        warm_up_ms=measurement.warm_up[0].step_ms if measurement.warm_up else None,
        weight_min_ms=_summarise(min, measurement, "weight_ms"),
        weight_median_ms=_summarise(statistics.median, measurement, "weight_ms"),
        arch_min_ms=_summarise(min, measurement, "arch_ms"),
        arch_median_ms=_summarise(statistics.median, measurement, "arch_ms"),
        step_min_ms=step_min_ms,
        step_median_ms=_summarise(statistics.median, measurement, "step_ms"),
        speedup_peer_min=None,
        speedup_peer_median=None,
        speedup_reference_min=None,
        speedup_reference_median=None,
        memory_mib=measurement.memory_mib,
        memory_peer=None,
        memory_reference=None,
        num_operator_calls=measurement.calls.num_operator_calls if measurement.calls else None,
        num_kernel_calls=measurement.calls.num_kernel_calls if measurement.calls else None,
        num_gpu_kernels=measurement.calls.num_gpu_kernels if measurement.calls else None,
        gflop=work.step_flops / 1e9,
        floor_ms=floor_ms,
        floor_share=None if step_min_ms is None else floor_ms / step_min_ms,
        failure=measurement.failure,
    )


def _summarise(
    summary: Callable[[list[float]], float], measurement: Measurement, field: str
) -> float | None:
    if not measurement.times:
        return None
    values = [getattr(time, field) for time in measurement.times]
    return None if None in values else summary(values)


def _ratio(large: Row | None, small: Row, field: str) -> float | None:
    above, below = None if large is None else getattr(large, field), getattr(small, field)
    return above / below if above is not None and below else None
