"""A process for each variant, which makes steps when it is asked to.

A process of its own keeps the memory of variants apart, and the peer's imports from the project's.
While one makes a step the others wait, so that variants can take turns and a slow minute of the
machine hits all of them alike.
"""

import multiprocessing
import traceback
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import torch
from gpu_kernels import count_kernels
from torch.profiler import ProfilerActivity, profile

from autoseg.cost import PeakMemory, synchronised_clock
from autoseg.runs.closing import Closing
from autoseg.training import ResolvedPrecision, tensor_float

from .calls import count_calls
from .setting import Calls, Setting, StepTime, Variant
from .variants import GraphedStep, SearchStep, build_step
from .work import Ceilings, measure_ceilings

_PROFILE_ROWS = 25
_END_SECONDS = 10.0


class Unavailable(RuntimeError):
    """A variant cannot be built or run; the message says why."""


class VariantProcess(Closing):
    """A variant in its own process; use as a context manager."""

    def __init__(self, setting: Setting, variant: Variant) -> None:
        """Start the process and wait until the variant is built.

        Raises:
            Unavailable: If it cannot be built.
        """
        # Not forked: a fork would share the parent's memory and its threads' state.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, setting, variant), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self._receive()
        except BaseException:
            self.close()
            raise

    def step(self) -> StepTime:
        """Make one search step.

        Raises:
            Unavailable: If it fails, or the process is killed for want of memory.
        """
        return self._ask("step")

    def memory_mib(self) -> float | None:
        """Return the peak of all steps so far; see `PeakMemory`."""
        return self._ask("memory_mib")

    def count_calls(self) -> Calls:
        """Make one more step, under the counter."""
        return self._ask("count_calls")

    def profile(self) -> str:
        """Make one more step under torch's profiler; return its table of operators."""
        return self._ask("profile")

    def close(self) -> None:
        """End the process."""
        self._connection.close()  # the worker's next read ends it
        self._process.join(_END_SECONDS)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()

    def _ask(self, request: str) -> Any:
        try:
            self._connection.send(request)
        except OSError:
            raise Unavailable(self._death()) from None
        return self._receive()

    def _receive(self) -> Any:
        try:
            is_good, answer = self._connection.recv()
        except (EOFError, ConnectionResetError):
            raise Unavailable(self._death()) from None
        if not is_good:
            raise Unavailable(answer)
        return answer

    def _death(self) -> str:
        self._process.join(_END_SECONDS)
        code = self._process.exitcode
        return f"its process ended with code {code}" + (
            ", killed: too little memory?" if code == -9 else ""
        )


def _serve(connection: Connection, setting: Setting, variant: Variant) -> None:
    """Build the variant, then answer requests until the other end is closed."""
    try:
        warnings.simplefilter("ignore")  # another project's deprecations are not our news
        torch.set_num_threads(setting.num_threads)
        server = _Server(setting, variant)
        connection.send((True, None))
        while True:
            connection.send((True, getattr(server, connection.recv())()))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    # Not ours to narrow: whatever a variant raises is the result of measuring it.
    except Exception as error:
        lines = str(error).strip().splitlines() or [traceback.format_exc().splitlines()[-1]]
        connection.send((False, f"{type(error).__name__}: {lines[0]}"))


def _load_libraries(device: str) -> None:
    """Use convolutions and products once, so that their code is not taken for activations."""
    maps = torch.randn(2, 4, 8, 8, device=device, requires_grad=True)
    for groups in (1, 4):
        kernel = torch.randn(4, 4 // groups, 3, 3, device=device, requires_grad=True)
        torch.nn.functional.conv2d(maps, kernel, groups=groups).relu().sum().backward()
    (maps.flatten(2) @ maps.flatten(2).mT).sum().backward()


class _Server:
    """What the process does; each method is a request."""

    def __init__(self, setting: Setting, variant: Variant) -> None:
        self._setting = setting
        self._step: SearchStep | GraphedStep = build_step(setting, variant)
        _load_libraries(setting.device)
        self._now = synchronised_clock(setting.device)
        self._memory = PeakMemory(setting.device)

    def step(self) -> StepTime:
        start = self._now()
        if isinstance(self._step, GraphedStep):
            self._step.both()
            return StepTime(step_ms=1000 * (self._now() - start), weight_ms=None, arch_ms=None)
        self._step.weights()
        middle = self._now()
        self._step.architecture()
        end = self._now()
        return StepTime(
            step_ms=1000 * (end - start),
            weight_ms=1000 * (middle - start),
            arch_ms=1000 * (end - middle),
        )

    def memory_mib(self) -> float | None:
        return self._memory.read_mib()

    def count_calls(self) -> Calls:
        calls = count_calls(self.step)
        num_gpu_kernels = count_kernels(self.step, torch.device(self._setting.device))
        return replace(calls, num_gpu_kernels=num_gpu_kernels)

    def profile(self) -> str:
        activities = [ProfilerActivity.CPU]
        if self._setting.device != "cpu":
            activities.append(ProfilerActivity.CUDA)
        with profile(activities=activities) as profiler:
            self.step()
        side = "cpu" if self._setting.device == "cpu" else "device"
        return profiler.key_averages().table(
            sort_by=f"self_{side}_time_total", row_limit=_PROFILE_ROWS, max_name_column_width=60
        )


def measure_ceilings_apart(setting: Setting) -> Ceilings:
    """Measure the machine's ceilings in a process of its own, with the setting's threads."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        return executor.submit(_measure_ceilings, setting).result()


def _measure_ceilings(setting: Setting) -> Ceilings:
    torch.set_num_threads(setting.num_threads)
    with tensor_float(setting.precision):
        return measure_ceilings(setting.device, dtype_of(setting.precision))


def dtype_of(precision: ResolvedPrecision) -> torch.dtype:
    """Return what maps are stored in."""
    return torch.bfloat16 if precision == "bf16" else torch.float32
