"""The largest batch that fits into a device's memory, found by trying."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

USED_SHARE = 0.9
"""Share of a GPU's memory that what is tried may take: later calls find it in other pieces."""

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
