"""The largest batch that fits into a device's memory: found by trying, or foreseen."""

import gc
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

USED_SHARE = 0.9
"""Share of a GPU's memory that what is tried may take: later calls find it in other pieces."""

_MIN_GAIN = 0.02
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_OF_THE_CPU = ("DefaultCPUAllocator", "not enough memory")


def largest_batch(step: Callable[[int], None], *, smallest: int, largest: int) -> int | None:
    """Find the largest batch that can be stepped: double while it fits, then halve the interval.

    Args:
        step: Makes steps of so many images; raises where memory runs out. What fits is taken to
            fit with fewer images as well.
        smallest: The first batch that is tried.
        largest: Batches beyond it are of no use.

    Returns:
        Its images; None if the smallest does not fit.
    """
    fitting, failing, tried = smallest - 1, largest + 1, smallest
    while failing - fitting > 1:
        if _fits(step, tried):
            fitting = tried
        else:
            failing = tried
        is_bounded = failing <= largest
        tried = (fitting + failing) // 2 if is_bounded else min(2 * tried, largest)
    return fitting if fitting >= smallest else None


def _fits(step: Callable[[int], None], batch_size: int) -> bool:
    try:
        step(batch_size)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        gc.collect()
        torch.cuda.empty_cache()
    return True


def foreseen_batch(
    peak_mib_of: Callable[[int], float | None], *, free_mib: float | None, largest: int
) -> int | None:
    """Foresee the largest batch from the peaks of one image and of two: each image adds as much.

    A CPU's memory cannot be tried out: the system ends a program that takes too much, or others.

    Args:
        peak_mib_of: Most memory that a call with so many images takes, MiB; None if nobody knows.
        free_mib: What may be taken, MiB; None if nobody knows.
        largest: Batches beyond it are of no use.

    Returns:
        Its images, `largest` if nobody knows the memory; None if one image does not fit.
    """
    one_mib, two_mib = peak_mib_of(1), peak_mib_of(2)
    if free_mib is None or one_mib is None or two_mib is None:
        return largest
    if one_mib > free_mib:
        return None
    if two_mib <= one_mib:
        return largest
    return min(largest, 1 + math.floor((free_mib - one_mib) / (two_mib - one_mib)))


def worthwhile_batch(seconds_of: Callable[[int], float], *, largest: int) -> int:
    """Double the batch while that gives at least 2 % more images a second.

    Args:
        seconds_of: Time of a call with so many images, in seconds.
        largest: No larger batch is tried.

    Returns:
        Images of the last batch that was worth it.
    """
    batch, rate = 1, 1 / seconds_of(1)
    while 2 * batch <= largest:
        doubled = 2 * batch / seconds_of(2 * batch)
        if doubled < (1 + _MIN_GAIN) * rate:
            break
        batch, rate = 2 * batch, doubled
    return batch


def free_memory_mib() -> float | None:
    """Read how much memory a program may still take, MiB; None where the system does not tell.

    What the machine has available, or what is left of the limit that a container has, if less.
    """
    if not _MEMINFO.exists():
        return None
    fields = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
    free_bytes = 1024 * int(fields["MemAvailable"].split()[0])
    limit, used = _CGROUP / "memory.max", _CGROUP / "memory.current"
    if limit.exists() and used.exists() and (text := limit.read_text().strip()) != "max":
        free_bytes = min(free_bytes, int(text) - int(used.read_text()))
    return max(0, free_bytes) / 2**20


def is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Tell whether torch or NumPy raised an error because memory ran out."""
    is_one = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return is_one or any(words in str(error) for words in _OF_THE_CPU)


@contextmanager
def memory_share(device: torch.device, share: float) -> Iterator[None]:
    """Let torch take no more than a share of a GPU's memory inside."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_per_process_memory_fraction(share, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
