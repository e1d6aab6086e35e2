"""Keep decoded samples in a folder, from run to run and for all processes."""

import hashlib
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import PIL
from safetensors import safe_open
from safetensors.torch import save

from autoseg.atomic import atomic_write, require_writable
from autoseg.data.cache import Pixels
from autoseg.errors import FileError, reading
from autoseg.foreign_text import printable

READER_VERSION = 1
"""Raise it when a reader's rules change: samples that the old rules decoded are then not found."""

DISK_CACHE_GIB = 20.0
"""Limit where nobody chose one: CamVid's train and val need 0.3 GiB, Cityscapes' 27."""

_FOLDER = "decoded"  # in the user's folder, which may hold other things
_SUFFIX = ".safetensors"
# Other processes fill the folder, too: it is measured again after so many writes, and where one
# process has filled this share of what was free.
_WRITES_BETWEEN_COUNTS = 64
_SHARE_BETWEEN_COUNTS = 1 / 8
_LEFTOVER_S = 3600.0  # age at which a temporary file is certainly a killed process's


class DiskCache:
    """Samples by their files, each in a file of its own that is mapped into memory.

    A sample is found again if it would be decoded from the same files by the same rules; a file of
    another size or time of change is decoded anew, and its sample replaced. Every sample is written
    under a temporary name and renamed, so that any number of processes may share the folder, and a
    kill leaves no half. What is read may be changed: the file stays as it is.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_gib: float,
        decoding: Iterable[str],
        sources: Callable[[int], Sequence[Path]],
    ) -> None:
        """Open or make the folder.

        Args:
            folder: The user's folder; samples lie in a folder of it.
            max_gib: Size up to which samples are added, GiB.
            decoding: Lines that decide what a sample's files are decoded to.
            sources: Gives the files of a sample by its index; none of a drawn one, which is then
                known by its index.

        Raises:
            OSError: If nothing can be written to the folder; says why.
        """
        self._folder = folder / _FOLDER
        require_writable(self._folder)
        self._sources = sources
        self._rules = _digest([str(READER_VERSION), PIL.__version__, *decoding])
        self.max_bytes = int(max_gib * 2**30)
        self._num_bytes = self.max_bytes  # so that the folder is measured before the first write
        self._num_added, self._added_bytes = 0, 0  # since it was measured
        self._is_closed = False
        for leftover in self._folder.glob(".*.tmp"):
            if time.time() - _modified_s(leftover) > _LEFTOVER_S:
                leftover.unlink(missing_ok=True)

    def get(self, index: int, make: Callable[[int], Pixels]) -> Pixels:
        """Return sample `index`, from the folder or made by `make`; the caller may change it."""
        # Taken before the files are read: one that changes meanwhile is decoded anew next time.
        try:
            path, stamp = self._place(index)
        except OSError:
            return make(index)  # which says what is wrong with the file
        pixels = _load(path, stamp)
        if pixels is None:
            pixels = make(index)
            self._save(path, pixels, stamp)
        return pixels

    def holds(self, index: int) -> bool:
        """Tell whether sample `index` is in the folder, decoded from its files as they are now."""
        try:
            path, stamp = self._place(index)
        except OSError:
            return False
        return path.exists() and _stamp_of(path) == stamp

    def _place(self, index: int) -> tuple[Path, str]:
        """Return where a sample lies, and what its file says of the files that it is from.

        Raises:
            OSError: If one of them is not there or may not be looked at.
        """
        sources = self._sources(index)
        found = [path.stat() for path in sources]
        stamp = " ".join(f"{each.st_size} {each.st_mtime_ns}" for each in found)
        names = [str(path.absolute()) for path in sources] or [str(index)]
        return self._folder / f"{_digest([self._rules, *names])}{_SUFFIX}", stamp

    def _save(self, path: Path, pixels: Pixels, stamp: str) -> None:
        if self._is_closed:
            return
        image, label = pixels
        content = save({"image": image, "label": label}, metadata={"stamp": stamp})
        free = self.max_bytes - self._num_bytes
        if (
            self._num_added == _WRITES_BETWEEN_COUNTS
            or self._added_bytes + len(content) > free * _SHARE_BETWEEN_COUNTS
        ):
            self._measure()
        if self._num_bytes + self._added_bytes + len(content) > self.max_bytes:
            self._close(
                f"it holds {self._num_bytes / 2**30:.2f} GiB, and its limit is "
                f"{self.max_bytes / 2**30:g} (--cache-gib)"
            )
            return
        try:
            atomic_write(path, content)
        except OSError as error:
            self._close(str(error).rstrip("."))
            return
        self._num_added += 1
        self._added_bytes += len(content)

    def _measure(self) -> None:
        self._num_bytes = sum(_size(each) for each in self._folder.glob(f"*{_SUFFIX}"))
        self._num_added, self._added_bytes = 0, 0

    def _close(self, reason: str) -> None:
        """Add nothing any more; what is there is still read."""
        self._is_closed = True
        warnings.warn(
            f"{printable(str(self._folder))} takes no more decoded images: {reason}. Those that "
            "are missing in it are decoded each time.",
            stacklevel=4,
        )


def _load(path: Path, stamp: str) -> Pixels | None:
    """Map a sample; None if there is none, or one of other files."""
    if not path.exists():
        return None
    try:
        with reading(path, "a decoded sample"), safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("stamp") != stamp:
                return None
            return file.get_tensor("image"), file.get_tensor("label")
    except (FileError, OSError):
        return None  # damaged, or gone: it is decoded, and replaced


def _stamp_of(path: Path) -> str | None:
    """Read a sample's stamp alone; None of a damaged one."""
    try:
        with reading(path, "a decoded sample"), safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("stamp")
    except (FileError, OSError):
        return None


def _digest(lines: Iterable[str]) -> str:
    content = "\0".join(lines).encode("utf-8", "surrogateescape")
    return hashlib.sha256(content).hexdigest()[:32]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # another process has just replaced it
        return 0


def _modified_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another process has just renamed it
        return time.time()
