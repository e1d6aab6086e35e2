"""Name every bad file of a folder at once: a person mends them together."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType

from autoseg.errors import FileError

_NUM_SHOWN = 10


class BadFilesError(FileError):
    """Images and masks that cannot be used, each named, as far as they were read."""


class _Each(AbstractContextManager[None]):
    """Keeps the faults of files, one a `with`."""

    def __init__(self) -> None:
        self.faults: list[Exception] = []

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Keep the fault of a file; anything else passes through."""
        if isinstance(error, FileError | OSError):
            self.faults.append(error)
            return True
        return False


@contextmanager
def all_faults() -> Iterator[AbstractContextManager[None]]:
    """Give a context for each file, and raise all that was wrong at the end.

    Raises:
        BadFilesError: With every fault, or the first ten and their number; one alone has its words.
        OSError: If the one fault is that a file is not there or may not be read.
    """
    each = _Each()
    yield each
    if len(each.faults) == 1:
        fault = each.faults[0]
        if isinstance(fault, OSError):
            raise fault
        raise BadFilesError(str(fault)) from fault
    if each.faults:
        shown = "".join(f"\n  {fault}" for fault in each.faults[:_NUM_SHOWN])
        rest = len(each.faults) - _NUM_SHOWN
        more = f"\n  ... and {rest:,} more" if rest > 0 else ""
        raise BadFilesError(f"{len(each.faults):,} files cannot be used:{shown}{more}")
