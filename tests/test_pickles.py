"""Pickles of torch are read as torch reads them, and those made to take long are refused first."""

import io
import operator
import pickle
import zipfile
from typing import Any

import pytest
import torch

from autoseg.pickles import LONGEST_NAME, OddPickleError, load_pickled


def packed(pickled: bytes, *, is_zip: bool = True, name: str = "a/data.pkl") -> io.BytesIO:
    """Put a pickle where torch reads one: into an archive, or first in a file of the old format."""
    if not is_zip:
        return io.BytesIO(pickled)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/version", "3\n")
        archive.writestr(name, pickled)
    file.seek(0)
    return file


def read(file: io.BytesIO) -> Any:
    return load_pickled(file, map_location="cpu")


def named(module: bytes) -> bytes:
    return b"\x80\x02c" + module + b"\nname\n."


def text(content: bytes) -> bytes:
    return b"X" + len(content).to_bytes(4, "little") + content


def doubled(times: int) -> bytes:
    """Pickle a mapping from a tuple of 2^(times + 1) - 1 places, each half the same tuple."""
    halves = (b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(times))
    return b"\x80\x02)q\x00" + b"".join(halves) + b"q\xff}h\xffNs."


either_format = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "old"])


# torch would take hours for each: a test that hangs has found that it was asked.
@either_format
@pytest.mark.parametrize(
    ("pickled", "reason"),
    [
        (named(b"m" * 100_000), "it has a name of 100,005 characters"),
        (named("é".encode() * 100_000), "'ascii' codec can't decode"),
        (b"\x80\x02" + text(b"a" * 100_000) + b")R.", "it calls what is no class or function"),
        (b"\x80\x02" + text(b"a" * 100_000) + b")\x81.", "it calls what is no class or function"),
        (
            b"\x80\x02cbuiltins\nset\n(" + text(b"a" * 100_000) + b"\x85\x85tR)R.",
            "it calls what is no class or function",
        ),
        (doubled(40), "a tuple unfolds to 32,767 places"),
    ],
    ids=["name", "accents", "text", "new", "set", "tuple"],
)
def test_what_would_take_hours_is_refused(pickled: bytes, reason: str, is_zip: bool) -> None:
    with pytest.raises(OddPickleError, match=f"^{reason}"):
        read(packed(pickled, is_zip=is_zip))


def test_torch_finds_its_pickle_whatever_the_case_of_its_name() -> None:
    assert torch.load(packed(b"\x80\x02K\x05.", name="a/Data.PKL"), weights_only=True) == 5
    with pytest.raises(OddPickleError):
        read(packed(doubled(40), name="a/Data.PKL"))


def test_every_pickle_of_the_old_format_is_looked_at() -> None:
    file = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, file, _use_new_zipfile_serialization=False)
    whole, keys = file.getvalue(), pickle.dumps(["0"], protocol=2)[:2]
    begin = whole.rindex(keys)  # of the last pickle, the keys of the storages
    with pytest.raises(OddPickleError):
        read(io.BytesIO(whole[:begin] + doubled(40)))


@either_format
@pytest.mark.parametrize(
    "content",
    [
        {"weight": torch.arange(6.0).reshape(2, 3), "half": torch.ones(2, dtype=torch.bfloat16)},
        {"parameter": torch.nn.Parameter(torch.ones(2)), "size": torch.Size((1, 2))},
        {"settings": "x" * 100_000, "steps": tuple(range(20_000)), (1, (2, 3)): 2**70},
        {"shapes": tuple((3, 3) for _ in range(2000)), "same": ((3, 3),) * 2000},
        {"list": [1.5, None, True, b"bytes", set()], "nested": {"a": [({},), ()]}},
    ],
    ids=["tensors", "parameters", "large", "shared", "plain"],
)
def test_what_torch_wrote_is_read_as_torch_reads_it(content: Any, is_zip: bool) -> None:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=is_zip)
    file.seek(0)
    found = read(file)
    assert found.keys() == content.keys()
    for name, value in content.items():
        is_same = torch.equal if isinstance(value, torch.Tensor) else operator.eq
        assert is_same(found[name], value)


def test_a_small_tuple_may_hold_another_twice() -> None:
    expected: Any = ()
    for _ in range(8):
        expected = (expected, expected)
    assert read(packed(doubled(8))) == {expected: None}


@pytest.mark.parametrize("length", [LONGEST_NAME, LONGEST_NAME + 1])
def test_a_name_that_is_short_is_for_torch_to_refuse(length: int) -> None:
    with pytest.raises(pickle.UnpicklingError) as caught:
        read(packed(named(b"m" * (length - len(" name")))))
    assert isinstance(caught.value, OddPickleError) == (length > LONGEST_NAME)
