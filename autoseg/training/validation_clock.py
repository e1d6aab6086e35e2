"""Validation that takes a small part of the time, measured as it goes."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from autoseg.distributed import from_first


class ValidationClock:
    """Keeps validation to a share of the time, where a search or a training ends by the clock.

    It counts from its making: what is resumed measures anew.
    """

    def __init__(self, largest_share: float) -> None:
        """Start the clock; `largest_share` is in (0, 1]."""
        self.largest_share = largest_share
        self._start_s = monotonic()
        self._validating_s = 0.0
        self._num_images = 0

    def has_time(self, num_images: int) -> bool:
        """Tell whether so many images more, at the mean time of those before, keep to the share."""
        next_s = num_images * self._validating_s / max(1, self._num_images)
        total_s = monotonic() - self._start_s + next_s
        return from_first(self._validating_s + next_s <= self.largest_share * total_s)

    @contextmanager
    def validating(self, num_images: int) -> Iterator[None]:
        """Count what is done inside as the validation of so many images."""
        start_s = monotonic()
        yield
        self._validating_s += monotonic() - start_s
        self._num_images += num_images
