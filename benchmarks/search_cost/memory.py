"""The most memory that a process takes while it runs a step, beyond what it had before.

On the CPU it is resident memory as the system counts it, so that the work space of libraries and
what an allocator holds back are in it. It means something in a process that does nothing else.
"""

from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # man 5 proc: resets the peak of the resident set


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
            self._old_peak_mib = _resident_mib("VmHWM")

    def read_mib(self) -> float | None:
        """Return the peak since the beginning above the level then, in MiB.

        None where the system does not tell: outside Linux, or if the process had held more earlier
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
        has_risen = peak > self._old_peak_mib
        return peak - self._before_mib if has_risen else None


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
