"""One writer a run folder."""

import os
import platform
from pathlib import Path

from filelock import FileLock, Timeout

from autoseg.atomic import write_error
from autoseg.errors import UsageError
from autoseg.foreign_text import printable


class FolderLock:
    """Hold a folder for this process until `release`; the system frees it if the process dies."""

    def __init__(self, folder: Path) -> None:
        """Take the lock at once or fail.

        Args:
            folder: An existing folder.

        Raises:
            UsageError: If another process holds it; names the process and its machine.
            OSError: If the folder cannot be written.
        """
        # The holder stands in a file of its own: on Windows a locked file cannot be read.
        self._holder = folder / ".lock-holder"
        self._lock = FileLock(folder / ".lock", timeout=0)
        try:
            self._lock.acquire()
        except Timeout:
            raise UsageError(
                f"run folder {folder} is in use by {self._read_holder()}: "
                "wait until it ends, stop it, or use another --out."
            ) from None
        except OSError as error:
            raise write_error(folder / ".lock", error) from error
        try:
            self._holder.write_text(f"process {os.getpid()} on {platform.node()}\n")
        except OSError as error:
            self._lock.release()
            raise write_error(self._holder, error) from error

    def release(self) -> None:
        """Give the folder back."""
        self._holder.unlink(missing_ok=True)
        self._lock.release()

    def _read_holder(self) -> str:
        try:
            text = self._holder.read_text(encoding="utf-8", errors="replace")
            return printable(text.strip()[:200]) or "another process"
        except OSError:  # taken a moment ago, not written yet
            return "another process"
