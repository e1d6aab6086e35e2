"""Write a file so that a reader finds the old content or the new one, never half of it.

A leaf that every folder may import.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_TEMPORARY_SUFFIX = ".tmp"


def atomic_write(path: Path, content: bytes | memoryview | Callable[[BinaryIO], None]) -> None:
    """Replace a file by new content, all of it or nothing.

    The content goes to a temporary name in the same folder, is synced to the disk and then renamed
    over `path`, so a kill, a power cut or a full disk leaves the previous file as it was.

    Args:
        path: The file to write; its folder must exist.
        content: The bytes, or a function that writes them to the open binary file it is given.

    Raises:
        OSError: If the content cannot be written; names the file and the space that is free, and
            carries the `errno` of its cause.
    """
    # Not the process's number: in two containers, or on two machines, writers have the same one.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_TEMPORARY_SUFFIX}")
    try:
        with temporary.open("wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise write_error(path, error) from error
        raise
    _sync_folder(path.parent)


def require_writable(folder: Path) -> None:
    """Refuse a folder that results cannot be saved in, before the work for them is done.

    Args:
        folder: Where files will be written; made if missing.

    Raises:
        OSError: If the folder cannot be made, or no file in it; says why.
    """
    probe = folder / f".write-probe.{secrets.token_hex(4)}{_TEMPORARY_SUFFIX}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise unwritable(folder, error) from error


def unwritable(folder: Path, cause: OSError) -> OSError:
    """Build the error for a folder that nothing can be written to.

    Args:
        folder: The folder.
        cause: What the operating system says.
    """
    error = OSError(
        f"nothing can be written to {folder}: {cause.strerror or cause}; name another folder, or "
        "change its permissions."
    )
    error.errno = cause.errno
    return error


def write_error(path: Path, cause: OSError) -> OSError:
    """Build the error for a file that could not be written.

    Args:
        path: The file that was being written.
        cause: What the operating system said.

    Returns:
        The error, to be raised by the caller; says what became of the previous file and how much
        space is free.
    """
    previous = "the previous file is untouched" if path.exists() else "nothing was written"
    reason = cause.strerror or cause
    error = OSError(f"could not write {path}: {reason}; {previous}; {_free_space(path.parent)}.")
    error.errno = cause.errno
    return error


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files that a killed process left in a folder.

    Only the holder of the folder's lock may call it: another writer's temporary file would go too.

    Args:
        folder: A run folder.
    """
    for leftover in folder.glob(f".*{_TEMPORARY_SUFFIX}"):
        leftover.unlink(missing_ok=True)


def _free_space(folder: Path) -> str:
    try:
        free_mib = shutil.disk_usage(folder).free / 2**20
    except OSError:
        return f"free space of {folder} is unknown"
    return f"{free_mib:,.1f} MiB are free in {folder}: free some space, or use another folder"


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot open a folder
        return
    # Without this sync a power cut may undo the rename, which leaves the previous file: still
    # whole. So a file system that refuses to sync folders is no reason to stop.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
