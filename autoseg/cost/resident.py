"""The most memory that a process takes while it runs a step, beyond what it had before.

On the CPU it is resident memory as the system counts it, so that the work space of libraries and
what an allocator holds back are in it. It means something in a process that does nothing else.
"""

import ctypes
import multiprocessing
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # man 5 proc: resets the peak of the resident set


def measure_resident_peak(function: Callable[[], object]) -> float | None:
    """Measure how far a new process's resident memory rises while it calls a function once.

    For what takes its memory beside torch's allocator, which `measure_peak_memory` asks. The
    function is sent to the process by pickle; what that loads there (weights, a graph) is not in
    the figure. What the first call sets up is, and so is what the function returns.

    Args:
        function: What is measured, without gradients, with as many threads as torch has here.

    Returns:
        MiB (2**20 bytes); None where the system does not tell: outside Linux.

    Raises:
        Exception: What the function raises there.
    """
    # By pickle itself: a pool's own way would move tensors of this process into shared memory.
    content = pickle.dumps(function)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        return executor.submit(_resident_peak, content, torch.get_num_threads()).result()


def _resident_peak(content: bytes, num_threads: int) -> float | None:
    torch.set_num_threads(num_threads)
    function = pickle.loads(content)
    # What loading needed for a while is free, and still resident: the call would find room in it.
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # glibc's
        libc.malloc_trim(0)
    with torch.inference_mode():
        memory = PeakMemory("cpu")
        result = function()
        peak_mib = memory.read_mib()
    del result
    return peak_mib


class PeakMemory:
    """Begins when it is built; read it when the work is done."""

    def __init__(self, device: str) -> None:
        """Note the present level.

        Args:
            device: "cpu" or "cuda:N".
        """
        self._device = torch.device(device)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before_mib = torch.cuda.memory_allocated(self._device) / 2**20
        else:
            _reset_peak()
            self._before_mib = _resident_mib("VmRSS")
            self._mapped_mib = _resident_mib("RssFile") or 0.0
            self._old_peak_mib = _resident_mib("VmHWM")

    def read_mib(self) -> float | None:
        """Return the peak since the beginning above the level then, in MiB.

        On the CPU pages of files are left out: of libraries whose code ran for the first time. None
        where the system does not tell: outside Linux, or if the process had held more earlier
        on and its peak could not be reset.
        """
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            assert self._before_mib is not None
            return torch.cuda.max_memory_allocated(self._device) / 2**20 - self._before_mib
        # Not getrusage: its peak outlives exec, so that a child begins with that of its parent.
        peak = _resident_mib("VmHWM")
        if peak is None or self._before_mib is None or self._old_peak_mib is None:
            return None
        if peak <= self._old_peak_mib:
            return None
        mapped_mib = max(0.0, (_resident_mib("RssFile") or 0.0) - self._mapped_mib)
        return peak - self._before_mib - mapped_mib


def _reset_peak() -> None:
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
    except OSError:  # not Linux, or not allowed: read_mib then needs a new peak
        return


def _resident_mib(field: str) -> float | None:
    """Read a field of the process's status, which is in KiB."""
    if not _STATUS.exists():
        return None
    for line in _STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) / 2**10
    return None
