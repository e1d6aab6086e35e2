"""One writer a run folder."""

import os
import platform
from pathlib import Path

from filelock import FileLock, Timeout

from autoseg.errors import UsageError


class FolderLock:
    """Hold a folder for this process until `release`; the system frees it if the process dies."""

    def __init__(self, folder: Path) -> None:
        """Take the lock at once or fail.

        Args:
            folder: An existing folder.

        Raises:
            UsageError: If another process holds it; names the process and its machine.
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
        self._holder.write_text(f"process {os.getpid()} on {platform.node()}\n")

    def release(self) -> None:
        """Give the folder back."""
        self._holder.unlink(missing_ok=True)
        self._lock.release()

    def _read_holder(self) -> str:
        try:
            return self._holder.read_text().strip() or "another process"
        except OSError:  # taken a moment ago, not written yet
            return "another process"
