"""The one reader of NumPy arrays: sizes are known before memory is taken, nothing is unpickled."""

import io
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from autoseg.data.images import require_regular_file
from autoseg.errors import FileError, reading
from autoseg.foreign_text import listed

ARRAY_SUFFIXES = (".npy", ".npz")

_ARCHIVE = b"PK"  # how a zip begins; only its end counts for zipfile, which any file may have
_MAX_HEADER = 10_000  # bytes; NumPy's own limit
_MAX_DIMENSIONS = 64  # NumPy's

CheckShape = Callable[[tuple[int, ...]], None]


def read_array(path: Path, *, check_shape: CheckShape) -> NDArray[np.number]:
    """Read the one array of numbers in a .npy or .npz file.

    Args:
        path: The file.
        check_shape: Called with the shape that the header states; raises where it cannot be used.
            Nothing of the array has been read by then: a header may state terabytes, and a
            compressed file of a megabyte may unpack to many gigabytes.

    Returns:
        The array, of a boolean, integer or floating point type.

    Raises:
        FileError: If the file is no such array, or cut, damaged or empty.
        OSError: If it is not there or may not be read.
    """
    with _opened(path) as file:
        shape, is_fortran, dtype = _header(path, file)
        check_shape(shape)
        num_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
        content = file.read(num_bytes)
        if len(content) < num_bytes:
            raise FileError(
                f"{path} is cut: its header states {num_bytes:,} bytes, {len(content):,} are there."
            )
        array = np.frombuffer(content, dtype=dtype)
        return array.reshape(shape, order="F" if is_fortran else "C")


def map_array(path: Path, *, check_shape: CheckShape) -> NDArray[np.number]:
    """Map the array in a .npy file into memory, read-only: what is looked at is read then.

    An archive cannot be mapped, and is read. Arguments and errors are those of `read_array`.
    """
    with _opened(path) as file:
        if isinstance(file, zipfile.ZipExtFile):
            return read_array(path, check_shape=check_shape)
        shape, is_fortran, dtype = _header(path, file)
        check_shape(shape)
        num_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
        start = file.tell()
        if (found := path.stat().st_size - start) < num_bytes:
            raise FileError(
                f"{path} is cut: its header states {num_bytes:,} bytes, {found:,} are there."
            )
        order = "F" if is_fortran else "C"
        return np.memmap(path, dtype=dtype, mode="r", offset=start, shape=shape, order=order)


def array_shape(path: Path) -> tuple[int, ...]:
    """Read the shape of the one array of numbers in a file, from its header alone.

    Raises:
        FileError: If the file is no such array.
        OSError: If it is not there or may not be read.
    """
    with _opened(path) as file:
        return _header(path, file)[0]


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file where its array begins: itself, or the one member of an archive."""
    require_regular_file(path)
    with reading(path, "a NumPy array"), path.open("rb") as file:
        is_archive = file.read(len(_ARCHIVE)) == _ARCHIVE
        file.seek(0)
        if not is_archive:
            yield file
            return
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) != 1:
                names = [member.filename.removesuffix(".npy") for member in members]
                raise FileError(f"{path} holds {len(members)} arrays ({listed(names)}); save one.")
            if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise FileError(
                    f"{path} is compressed in a way that NumPy does not write; save it again with "
                    "numpy.savez_compressed."
                )
            with archive.open(members[0]) as member:
                yield cast(BinaryIO, member)


def _header(path: Path, file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read shape, order (whether Fortran's) and type."""
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise FileError(f"{path} has version {version} of NumPy's format; save it again.")
    # NumPy would read as much as the length in front of the header says, a gigabyte if it does.
    length_format = "<H" if version == (1, 0) else "<I"
    length_bytes = file.read(struct.calcsize(length_format))
    (length,) = struct.unpack(length_format, length_bytes)
    if length > _MAX_HEADER:
        raise FileError(f"{path} has a header of {length:,} bytes, which no array of numbers has.")
    header = io.BytesIO(length_bytes + file.read(length))
    shape, is_fortran, dtype = read_header(header)
    if dtype.kind not in "fiub":
        raise FileError(f"{path} is {dtype}; it must hold numbers.")
    if len(shape) > _MAX_DIMENSIONS or not all(type(size) is int and size >= 0 for size in shape):
        raise FileError(f"{path} has the impossible shape {str(shape)[:60]}.")
    return shape, is_fortran, dtype
