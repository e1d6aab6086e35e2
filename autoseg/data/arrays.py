"""The one reader of NumPy arrays: sizes are known before memory is taken, nothing is unpickled."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from autoseg.data.images import require_regular_file
from autoseg.errors import FileError, reading

ARRAY_SUFFIXES = (".npy", ".npz")

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
    require_regular_file(path)
    with reading(path, "a NumPy array"), path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            return _read_member(path, file, check_shape)
        with zipfile.ZipFile(file) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            if len(names) != 1:
                shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
                raise FileError(f"{path} holds {len(names)} arrays ({shown}); save one.")
            with archive.open(archive.namelist()[0]) as member:
                return _read_member(path, cast(BinaryIO, member), check_shape)


def _read_member(path: Path, file: BinaryIO, check_shape: CheckShape) -> NDArray[np.number]:
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise FileError(f"{path} has version {version} of NumPy's format; save it again.")
    shape, is_fortran, dtype = read_header(file)
    if dtype.kind not in "fiub":
        raise FileError(f"{path} is {dtype}; it must hold numbers.")
    if any(size < 0 for size in shape):
        raise FileError(f"{path} has shape {shape}, with a size below 0.")
    check_shape(shape)
    num_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
    content = file.read(num_bytes)
    if len(content) < num_bytes:
        raise FileError(
            f"{path} is cut: its header states {num_bytes:,} bytes, {len(content):,} are there."
        )
    array = np.frombuffer(content, dtype=dtype)
    return array.reshape(shape, order="F" if is_fortran else "C")
