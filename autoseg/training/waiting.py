"""How long a search or a training waits for its batches, and what helps."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic

from torch import Tensor

from autoseg.contract import SegmentationDataset
from autoseg.data import ResidentSamples
from autoseg.data.cache import KeepsSamples

Batch = tuple[Tensor, Tensor]

MAX_SHARE = 0.2
"""Share of the time from which on waiting for batches is worth a hint."""

_MIN_BATCHES = 20  # the first ones are slow: files are read for the first time
_ENOUGH_WORKERS = 4


class LoadingWatch:
    """A clock of what is spent in `next` of some batches: waiting for images.

    On a GPU, images are loaded while it works on what it was given before. The time for which it is
    waited for in turn is taken off: as long as that is, the GPU was not idle.
    """

    def __init__(self) -> None:
        """Start at the first batch that is asked for."""
        self._start_s: float | None = None
        self._num_given = 0
        self._num_images = 0
        self._is_said = False
        self._is_warm = False
        self.waited_s = 0.0
        """Seconds that were spent waiting for batches."""
        self.device_s = 0.0
        """Seconds that were spent waiting for the device."""

    def watched(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Give batches on, and count the time that each takes to come."""
        iterator = iter(batches)
        while True:
            before_s = monotonic()
            if self._start_s is None:
                self._start_s = before_s
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self.waited_s += monotonic() - before_s
            self._num_given += 1
            self._num_images += len(batch[0])
            yield batch

    @contextmanager
    def waiting_for_device(self) -> Iterator[None]:
        """Count the time of a block that waits for what the device computes."""
        before_s = monotonic()
        yield
        self.device_s += monotonic() - before_s

    def hint(self, dataset: SegmentationDataset, *, num_workers: int) -> str | None:
        """Say once what makes loading faster; None where it is no bottleneck, or was said.

        Where all images are kept once they are decoded, the count begins when each was given once:
        what came before tells nothing of what is to come.

        Args:
            dataset: What is loaded.
            num_workers: Processes that load.
        """
        if not self._is_warm and _keeps_all(dataset):
            if self._num_images < len(dataset):
                return None
            self._begin_anew()
        self._is_warm = True
        if self._is_said or self._start_s is None or self._num_given < _MIN_BATCHES:
            return None
        idle_s = self.waited_s - self.device_s
        share = idle_s / max(monotonic() - self._start_s, 1e-9)
        if share <= MAX_SHARE:
            return None
        self._is_said = True
        remedies = _remedies(dataset, num_workers)
        if not remedies:
            return None
        saves = "and saves" if len(remedies) == 1 else "and both save"
        return (
            f"{share:.0%} of the time went by waiting for images, "
            f"{1000 * idle_s / self._num_given:.0f} ms a batch; {', '.join(remedies)}, {saves} "
            "up to as much"
        )

    def _begin_anew(self) -> None:
        self._start_s = None
        self._num_given = 0
        self.waited_s = self.device_s = 0.0


def _remedies(dataset: SegmentationDataset, num_workers: int) -> list[str]:
    """Name the options that make loading faster, with what each does."""
    if isinstance(dataset, ResidentSamples):
        limit = dataset.max_bytes / 2**30
        more = f"a --resident-gib above {limit:g} keeps more images on the device"
        return [more] if dataset.is_full else []
    if num_workers < _ENOUGH_WORKERS:
        more = max(2, 2 * num_workers)
        remedies = [f"--num-workers {more} loads beside the training"]
    else:
        remedies = ["images that are saved at the size at which they are seen load faster"]
    missing = _not_kept(dataset)
    return remedies if missing is None else [*remedies, missing]


def _not_kept(dataset: SegmentationDataset) -> str | None:
    """Say what keeps the decoded images; None where the cache in memory holds them all."""
    if not isinstance(dataset, KeepsSamples) or _keeps_all(dataset):
        return None
    return f"--cache DIR keeps up to {_num_bytes(dataset) / 2**30:.2g} GiB of decoded images there"


def _keeps_all(dataset: SegmentationDataset) -> bool:
    return isinstance(dataset, KeepsSamples) and dataset.max_kept_bytes >= _num_bytes(dataset)


def _num_bytes(dataset: SegmentationDataset) -> int:
    """Return what all decoded images and labels take, at most."""
    height, width = dataset.largest_size
    return len(dataset) * height * width * (dataset.num_channels + 1)
