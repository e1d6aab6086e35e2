"""How long a training waits for its batches, and what helps."""

from collections.abc import Iterator
from time import monotonic

from torch import Tensor

Batch = tuple[Tensor, Tensor]

MAX_SHARE = 0.2
"""Share of the time from which on waiting for batches is worth a hint."""

_MIN_BATCHES = 20  # the first ones are slow: files are read for the first time
_ENOUGH_WORKERS = 4


class WatchedBatches:
    """Batches of a training; the time that is spent in `next` is waiting."""

    def __init__(self, batches: Iterator[Batch], *, num_workers: int) -> None:
        """Start the clock.

        Args:
            batches: What to give on.
            num_workers: Processes that prepare them.
        """
        self._batches = batches
        self._num_workers = num_workers
        self._start_s = monotonic()
        self._num_given = 0
        self.waited_s = 0.0
        """Seconds that were spent waiting for batches."""

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        before_s = monotonic()
        batch = next(self._batches)
        self.waited_s += monotonic() - before_s
        self._num_given += 1
        return batch

    def hint(self) -> str | None:
        """Say in a sentence what makes loading faster; None where it is no bottleneck."""
        share = self.waited_s / max(monotonic() - self._start_s, 1e-9)
        if self._num_given < _MIN_BATCHES or share <= MAX_SHARE:
            return None
        if self._num_workers >= _ENOUGH_WORKERS:
            remedy = "images that are saved at the size at which they are seen load faster"
        else:
            more = max(2, 2 * self._num_workers)
            remedy = f"--num-workers {more} loads beside the training"
        return (
            f"{share:.0%} of the time went by waiting for images; {remedy}, and saves up to as much"
        )
