"""Keep samples once they have been decoded or drawn: in memory, or where else a user says."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from torch import Tensor

Pixels = tuple[Tensor, Tensor]
"""Image, uint8, (C, H, W), and label, uint8 or int32, (H, W)."""

DEFAULT_CACHE_MIB = 512.0
"""Enough for CamVid's train and val, or for 10 000 synthetic scenes of the default size."""


class Cache(Protocol):
    """What keeps samples by their index."""

    max_bytes: int
    """Size up to which they are kept."""

    def get(self, index: int, make: Callable[[int], Pixels]) -> Pixels:
        """Return sample `index`, kept or made by `make`; the caller may change it."""
        ...

    def holds(self, index: int) -> bool:
        """Tell whether sample `index` is kept: then its files, as they are, were read before."""
        ...


class KeepsSamples(ABC):
    """A dataset whose samples are slow to make, and kept by a cache that can be exchanged."""

    _cache: Cache

    def keep_samples(self, cache: Cache) -> None:
        """Keep samples there from now on."""
        self._cache = cache

    @property
    def max_kept_bytes(self) -> int:
        """Size up to which samples are kept."""
        return self._cache.max_bytes

    @abstractmethod
    def sources(self, index: int) -> tuple[Path, ...]:
        """Name the files that a sample is decoded from; none if it is drawn."""

    @abstractmethod
    def decoding(self) -> Iterator[str]:
        """Give lines that, with the files, decide a sample's pixels and labels."""


class SampleCache:
    """Samples by index, as uint8, until a budget is spent; then the rest is made anew each time.

    It changes how long a sample takes, never the sample. Every process that reads a dataset has
    its own.
    """

    def __init__(self, max_mib: float) -> None:
        """Start empty.

        Args:
            max_mib: Budget, MiB; 0 keeps nothing.
        """
        self.max_bytes = int(max_mib * 2**20)
        self._num_bytes = 0
        self._pixels: dict[int, Pixels] = {}

    def get(self, index: int, make: Callable[[int], Pixels]) -> Pixels:
        """Return sample `index`, from memory or made by `make`; the caller may change it."""
        pixels = self._pixels.get(index)
        if pixels is None:
            pixels = make(index)
            num_bytes = sum(part.numel() * part.element_size() for part in pixels)
            if self._num_bytes + num_bytes > self.max_bytes:
                return pixels
            self._pixels[index] = pixels
            self._num_bytes += num_bytes
        image, label = pixels
        return image.clone(), label.clone()

    def holds(self, index: int) -> bool:
        """Tell whether sample `index` is in memory."""
        return index in self._pixels
