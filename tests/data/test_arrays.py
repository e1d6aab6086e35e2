"""Arrays in files: refused before memory is taken, never unpickled."""

import io
import os
import zipfile

import numpy as np
import pytest

from autoseg.data.arrays import read_array
from autoseg.data.segmentation_files import read_scores
from autoseg.errors import FileError
from tests.fuzzing import damaged_bytes, require_clean_refusals

ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def any_shape(shape):
    """Accept every shape that is small."""
    if np.prod(shape, dtype=object) > 1000:
        raise FileError(f"a.npy: the test takes no {shape}")


def header(shape, descr="<f4", version=(1, 0)):
    file = io.BytesIO()
    fields = {"descr": descr, "fortran_order": False, "shape": shape}
    write = np.lib.format.write_array_header_1_0
    write(file, fields)
    content = bytearray(file.getvalue())
    content[6:8] = bytes(version)
    return bytes(content)


def zipped(content, name="scores.npy"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.uint8, ">f4", bool])
def test_arrays_are_those_of_numpy(tmp_path, order, dtype):
    array = np.asarray(ARRAY.astype(dtype), order=order)
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", array)
    for name in ("a.npy", "a.npz"):
        np.testing.assert_array_equal(read_array(tmp_path / name, check_shape=any_shape), array)


@pytest.mark.parametrize("pack", [bytes, zipped])
def test_a_stated_size_is_refused_before_it_is_read(tmp_path, pack):
    # 24 GiB of zeros, as a header alone; a reader that took memory first would be killed here.
    (tmp_path / "a.npy").write_bytes(pack(header((2, 2**16, 2**15, 3))))
    with pytest.raises(FileError, match=r"the test takes no \(2, 65536, 32768, 3\)"):
        read_array(tmp_path / "a.npy", check_shape=any_shape)
    (tmp_path / "b.npy").write_bytes(pack(header((2, 2**16, 2**15))))
    with pytest.raises(FileError, match=r"b\.npy is 65536 x 32768 .* its image is 3 x 4"):
        read_scores(tmp_path / "b.npy", are_logits=True, size=(3, 4))


def two_arrays():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a\n\x1b[31m.npy", header((1,)))
        archive.writestr("b.npy", header((1,)))
    return file.getvalue()


CORPUS = {
    "empty.npy": (b"", "is not a NumPy array"),
    "text.npy": (b"1 2 3\n4 5 6\n", "is not a NumPy array"),
    "cut.npy": (header((2, 3, 4)) + b"\0" * 9, "is cut: its header states 96 bytes, 9 are there"),
    "negative.npy": (header((-1, 3, 4)), r"has the impossible shape \(-1, 3, 4\)"),
    "pickle.npy": (header((2, 2, 2), "|O"), "is object; it must hold numbers"),
    "text_array.npy": (header((2, 2, 2), "<U9"), "it must hold numbers"),
    "newer.npy": (header((2, 2, 2), version=(9, 0)), "is not a NumPy array|has version"),
    "empty.npz": (zipped(b""), "is not a NumPy array"),
    "cut.npz": (zipped(header((2, 3, 4)) + b"\1" * 96)[:90], "is not a NumPy array"),
    "huge_header.npy": (
        b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b" " * 100_000,
        "has a header of 2,147,483,647 bytes",
    ),
    "zipped_header.npz": (
        zipped(b"\x93NUMPY\x02\x00\0\0\0\x40" + b" " * 100_000),
        "has a header of 1,073,741,824 bytes",
    ),
    "true.npy": (header((True, 2, 2)), "impossible shape"),
    "axes.npy": (header((1,) * 900), "impossible shape"),
    "two.npz": (
        two_arrays(),
        r"holds 2 arrays \(a\\n\\x1b",
    ),
}


@pytest.mark.parametrize("name", CORPUS)
def test_what_is_no_array_is_named(tmp_path, name):
    content, message = CORPUS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=message) as caught:
        read_array(tmp_path / name, check_shape=any_shape)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.npy")
    with pytest.raises(FileError, match=r"no regular file"):
        read_array(tmp_path / "a.npy", check_shape=any_shape)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_damaged_arrays_are_read_or_refused_by_name(memory_folder, name):
    path = memory_folder / name
    (np.save if name == "a.npy" else np.savez_compressed)(path, ARRAY)
    require_clean_refusals(
        lambda path: read_scores(path, are_logits=True, size=(3, 4)),
        path,
        damaged_bytes(path.read_bytes()),
    )


def test_an_array_that_ends_as_a_zip_does_is_an_array(tmp_path):
    values = np.frombuffer(b"\0" * 26 + zipped(b"")[-22:], dtype=np.uint8)
    np.save(tmp_path / "a.npy", values)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy", check_shape=any_shape), values)
