"""How much memory a device, or the control group of this process, has left."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

_MEMORY_INFO = Path("/proc/meminfo")
_OWN_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")
_LARGEST_LIMIT = 2**60
"""A control group without a limit may state one that no machine has."""


def available_bytes(device: torch.device) -> int | None:
    """Return what can still be allocated on a device; None where that is not known.

    On Linux, of the CPU: what the system has or, if it is less, what the process's control group
    (a container, a batch job) may still take.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + held
    if device.type != "cpu":
        return None
    try:
        with _MEMORY_INFO.open("rb", buffering=0) as file:  # in one piece: this is asked often
            found = re.search(rb"^MemAvailable:\s+(\d+) kB", file.read(4096), re.MULTILINE)
    except FileNotFoundError:
        return None
    if found is None:
        return None
    left = int(found[1]) * 1024
    for group in _limited_groups(_OWN_GROUPS, _GROUPS):
        left = min(left, group.bytes_left(left))
    return left


@dataclass(frozen=True, slots=True)
class _LimitedGroup:
    """A control group with a limit of memory."""

    limit: int
    """Bytes."""
    usage: Path
    """Holds the bytes in use, cached files included."""
    statistics: Path
    """Says how many of these are cached files, which give way."""
    cached: str
    """What it calls them."""

    def bytes_left(self, enough: int) -> int:
        """Return what may still be taken, or more than is enough."""
        try:
            left = self.limit - int(self.usage.read_text())
            if left < enough:  # statistics take a while
                found = re.search(
                    rf"^{self.cached} (\d+)", self.statistics.read_text(), re.MULTILINE
                )
                left += int(found[1]) if found else 0
        except FileNotFoundError:  # the process was moved to another group, and this one removed
            return enough
        return max(0, left)


@cache
def _limited_groups(own_groups: Path, root: Path) -> tuple[_LimitedGroup, ...]:
    """Find the groups, of either version, that limit the memory of this process."""
    if not own_groups.is_file():
        return ()
    found = []
    for line in own_groups.read_text().splitlines():
        number, controllers, name = line.split(":", 2)
        if number == "0":
            names = ("memory.max", "memory.current", "inactive_file")
            folders = _folders_up(root, name)
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            folders = _folders_up(root / "memory", name)
        else:
            continue
        for folder in folders:
            limit, usage = folder / names[0], folder / names[1]
            statistics = folder / "memory.stat"
            if not (limit.is_file() and usage.is_file() and statistics.is_file()):
                continue
            text = limit.read_text().strip()
            if text.isdigit() and int(text) < _LARGEST_LIMIT:
                found.append(_LimitedGroup(int(text), usage, statistics, names[2]))
    return tuple(found)


def _folders_up(root: Path, name: str) -> Iterator[Path]:
    """Yield a group's folder and those it lies in; in a container its own is often the root."""
    parts = [part for part in name.split("/") if part not in ("", "..")]
    for count in range(len(parts), -1, -1):
        yield root.joinpath(*parts[:count])
